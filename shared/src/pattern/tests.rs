//! Tests of patterns.

use super::*;
use proptest::prelude::*;

fn pattern(text: &str) -> NamePattern {
    text.parse().unwrap()
}

fn tables(text: &str) -> TablePattern {
    match text.parse().unwrap() {
        TableSelector::Pattern(pattern) => pattern,
        TableSelector::Name(name) => panic!("{name} is a name"),
    }
}

#[test]
fn a_pattern_matches_as_in_a_shell() {
    for (text, name, star) in [
        ("*", "", Some(Some(""))),
        ("a*", "Abc", Some(Some("bc"))),
        ("a*", "ba", None),
        ("*a*b", "xaxb", Some(Some("x"))),
        ("*a*b", "xbxa", None),
        ("a*a", "a", None),
        ("a*b*", "aXbYbZ", Some(Some("YbZ"))),
        ("abc", "abc", Some(None)),
        ("abc", "abcd", None),
        ("a?c", "aéc", Some(None)),
        ("a?", "a", None),
        ("order_[0-9]*", "Order_12x", Some(Some("2x"))),
        ("[a-c]x", "BX", Some(None)),
        ("[!a-c]x", "bx", None),
        ("x[]a]", "x]", Some(None)),
        ("x[a-]", "x-", Some(None)),
        ("[order*]", "ORDER*", Some(None)),
        ("[order*]", "orders", None),
        ("\"a?\"", "ab", None),
        ("É*", "éa", Some(Some("a"))),
    ] {
        let found = pattern(text).find(name).map(|matched| matched.star);
        assert_eq!(found, star, "{text} {name}");
    }
}

#[test]
fn names_are_matched_as_they_are_paired() {
    let under = |text: &str, name: &str| pattern(text).matches_under(name, Naming::Normalised);
    assert!(under("OrderDetail*", "order_details"));
    assert!(under("server1_*", "server1_orders"));
    assert!(!under("OrderDetail*", "orders"));
    assert!(!under("__*", "orders") && under("__*", "__orders"));
    assert!(!pattern("OrderDetail*").matches_under("order_details", Naming::IgnoreCase));
}

#[test]
fn brackets_around_a_whole_part_are_quotes_and_others_are_sets() {
    for (text, schema, name, is_default, expected) in [
        ("dbo.*", "DBO", "t", true, true),
        ("*", "sales", "t", false, false),
        ("*", "dbo", "t", true, true),
        ("[my schema].[a-c]*", "my schema", "Bx", false, true),
        ("[a.b].t?", "a.b", "t1", false, true),
        ("\"a.b\".t?", "a.b", "t1", false, true),
        ("x[.]y*", "dbo", "x.yz", true, true),
        ("[a]]b].*", "a]b", "t", false, true),
        ("s*.[Order Details]", "sales", "order details", false, true),
    ] {
        let found = tables(text).find(schema, name, is_default).is_some();
        assert_eq!(found, expected, "{text} {schema}.{name}");
    }
    for text in ["[a*]", "dbo.[a*]", "\"a*\".\"b?\"", "a-b.c d"] {
        assert!(matches!(text.parse(), Ok(TableSelector::Name(_))), "{text}");
    }
}

#[test]
fn what_is_no_pattern_is_said() {
    for (text, word) in [
        ("a[b", "without `]`"),
        ("[a-", "without `]`"),
        ("[z-a]*", "ends before it begins"),
        ("a.b.*", "two parts"),
        ("!a", "begins with `!`"),
        ("*.", "empty"),
        ("a=", ""),
        ("\"a*", "quote"),
    ] {
        let result: Result<TableSelector, _> = text.parse();
        match result {
            Err(error) => assert!(error.to_string().contains(word), "{text}: {error}"),
            Ok(selector) => assert!(word.is_empty(), "{text}: {selector:?}"),
        }
    }
    for (text, word) in [("a*b*", "one `*`"), ("a?", "one `*`"), ("*.*", "one `*`")] {
        let result: Result<TargetSelector, _> = text.parse();
        assert!(result.unwrap_err().to_string().contains(word), "{text}");
    }
    for (source, target, word) in [
        ("a*", "b", "`b` is one"),
        ("a?", "b*", "none that it can stand for"),
        ("a", "b*", "none that it can stand for"),
    ] {
        let (source, target) = (source.parse().unwrap(), target.parse().unwrap());
        let error = check_target(&source, Some(&target)).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn the_star_of_a_target_stands_for_what_the_last_one_matched() {
    for (source, target, table, expected) in [
        (
            "dbo.*",
            "public.server1_erp_dbo_*",
            "Orders",
            "public.server1_erp_dbo_Orders",
        ),
        ("dbo.tbl_*_v?", "*_old", "tbl_a_v1", "a_old"),
        (
            "sales.o*",
            "archive.*",
            "orders",
            "archive.rders archive.orders",
        ),
        ("sales.*", "archive.*", "orders", "archive.orders"),
        ("*.orders", "dwh.*_orders", "orders", "dwh.sales_orders"),
    ] {
        let TargetSelector::Pattern(target) = target.parse().unwrap() else {
            panic!("{target} is a pattern")
        };
        let schema = if source.starts_with("dbo") {
            "dbo"
        } else {
            "sales"
        };
        let matched = tables(source).find(schema, table, false).unwrap();
        let names = target.names(matched.star.unwrap(), table);
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names.join(" "), expected, "{source}");
    }
}

/// A pattern for the name that was made of it, and what its last `*` stands for there.
fn pattern_and_name() -> impl Strategy<Value = (String, String, Option<String>)> {
    let piece = prop_oneof![
        "[a-zA-Z_]".prop_map(|c| (c.clone(), c, None)),
        "[a-z]{0,3}".prop_map(|text| ("*".to_owned(), text.clone(), Some(text))),
        "[a-z]".prop_map(|c| ("?".to_owned(), c, None)),
        "[a-f]".prop_map(|c| ("[a-f]".to_owned(), c, None)),
        "[g-z]".prop_map(|c| ("[!a-f]".to_owned(), c, None)),
    ];
    proptest::collection::vec(piece, 1..8).prop_map(|pieces| {
        let mut all = (String::new(), String::new(), None);
        for (pattern, name, star) in pieces {
            all.0.push_str(&pattern);
            all.1.push_str(&name);
            all.2 = star.or(all.2);
        }
        all
    })
}

proptest! {
    #[test]
    fn a_name_made_of_a_pattern_is_matched_in_any_case(
        (text, name, star) in pattern_and_name(),
    ) {
        // A pattern of one set is a name in brackets.
        let text = format!("x{text}");
        for name in [format!("x{name}"), format!("X{}", name.to_uppercase())] {
            let matched = pattern(&text).find(&name);
            prop_assert!(matched.is_some(), "{text} {name}");
            prop_assert_eq!(matched.unwrap().star.is_some(), star.is_some());
        }
    }

    /// Filling in what the `*` stands for gives the name back.
    #[test]
    fn what_the_only_star_matched_gives_the_name_back(
        before in "[a-z_]{0,4}", after in "[a-z_]{0,4}", name in "[a-z_]{0,10}",
    ) {
        let pattern = pattern(&format!("{before}*{after}"));
        let expected = name.starts_with(&before)
            && name.ends_with(&after)
            && name.len() >= before.len() + after.len();
        match pattern.find(&name) {
            None => prop_assert!(!expected),
            Some(matched) => {
                prop_assert!(expected);
                prop_assert_eq!(pattern.fill(matched.star.unwrap()), name);
            }
        }
    }

    #[test]
    fn a_printed_name_is_a_name_again(
        schema in proptest::option::of("\\PC{1,12}"),
        name in "\\PC{1,12}",
    ) {
        let table = TableName { schema, name };
        prop_assert_eq!(table.to_string().parse(), Ok(TableSelector::Name(table)));
    }

    #[test]
    fn any_text_is_a_selector_or_an_error(text in "\\PC{0,12}|[a\\[\\]!.*?\"-]{0,10}") {
        if let Ok(selector) = text.parse::<TableSelector>() {
            prop_assert_eq!(selector.to_string().parse::<TableSelector>(), Ok(selector));
        }
    }
}

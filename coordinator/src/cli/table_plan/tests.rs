//! Tests of the selection of tables.

use std::path::Path;

use clap::Parser as _;
use proptest::prelude::*;
use shared::config::parse;

use super::*;
use crate::cli::flags::{Command, Flags};
use crate::cli::settings::RunSettings;

const CONFIG: &str = "\
[endpoints.erp]
url = 'mssql://u:p@h/d'
[endpoints.copy]
url = 'postgres://u:p@h/d'
[run]
source = 'erp'
target = 'copy'
";

/// Tables by their names; `view:` and `system:` before a name say that it is one.
fn catalog(names: &str) -> Vec<CatalogTable> {
    let tables = names.split_whitespace().map(|name| {
        let is_view = name.starts_with("view:");
        let is_system = name.starts_with("system:");
        let name = name
            .trim_start_matches("view:")
            .trim_start_matches("system:");
        let (schema, name) = name.split_once('.').unwrap();
        CatalogTable {
            is_view,
            is_system,
            estimated_rows: Some(7),
            ..CatalogTable::new(schema, name)
        }
    });
    tables.collect()
}

fn settings(more: &str, arguments: &[&str]) -> RunSettings {
    let text = format!("{CONFIG}{more}");
    let config = parse(Path::new("f"), &text, &BTreeMap::new()).unwrap();
    let flags = Flags::try_parse_from([&["reconcile", "run"], arguments].concat()).unwrap();
    let Command::Run(flags) = flags.command else {
        panic!("it is a run")
    };
    RunSettings::resolve(*flags, config).unwrap()
}

/// The pairs of tables that a run compares, and its notes; or the error.
fn select(
    more: &str,
    arguments: &[&str],
    source: &str,
    target: &str,
) -> Result<(String, TableScope), String> {
    let settings = settings(more, arguments);
    let catalogs = Catalogs {
        source: (!source.is_empty()).then(|| catalog(source)),
        target: (!target.is_empty()).then(|| catalog(target)),
    };
    let selected = settings
        .tables
        .listed()
        .unwrap()
        .plan(&catalogs)
        .map_err(|error| error.to_string())?;
    let pairs: Vec<String> = selected
        .tables
        .iter()
        .map(|it| format!("{}={}", it.spec.source.table, it.spec.target.table))
        .collect();
    Ok((pairs.join(" "), selected.scope))
}

const SOURCE: &str = "dbo.Orders dbo.OrderLines dbo.Customers dbo.tmp_a dbo.tmp_b view:dbo.v_open \
         dbo.__EFMigrationsHistory system:dbo.sysdiagrams sales.Orders";

#[test]
fn patterns_select_tables_and_no_views_and_nothing_of_the_system() {
    let pairs = |list: &str| match select("", &["--tables", list], SOURCE, "") {
        Ok((pairs, _)) => pairs,
        Err(error) => panic!("{list}: {error}"),
    };
    assert_eq!(
        pairs("*,!tmp_?"),
        "Customers=Customers OrderLines=OrderLines Orders=Orders __EFMigrationsHistory=__EFMigrationsHistory"
    );
    assert_eq!(
        pairs("DBO.Order*"),
        "dbo.OrderLines=OrderLines dbo.Orders=Orders"
    );
    assert_eq!(
        pairs("*.orders"),
        "dbo.Orders=Orders sales.Orders=sales.Orders"
    );
    assert_eq!(
        pairs("dbo.*,!dbo.[!ov]*"),
        "dbo.OrderLines=OrderLines dbo.Orders=Orders"
    );
    assert_eq!(
        pairs("Order*,dbo.orders=x"),
        "OrderLines=OrderLines dbo.orders=x",
        "a table that is listed by its name is taken from patterns"
    );
    assert_eq!(
        pairs("order*=public.s_*,*o*,!tmp*,!__*"),
        "OrderLines=public.s_Lines Orders=public.s_s Customers=Customers"
    );
    assert_eq!(
        pairs("v_open,sysdiagrams"),
        "v_open=v_open sysdiagrams=sysdiagrams"
    );
    let (_, scope) = select("", &["--tables", "dbo.*,!dbo.tmp_*"], SOURCE, "").unwrap();
    assert_eq!(
        scope.notes,
        [
            "2 tables excluded: dbo.tmp_a, dbo.tmp_b",
            "1 table left out, as made by the database or its tools: dbo.sysdiagrams",
            "1 view left out: dbo.v_open; --include-views compares them",
            "the target's catalog was not read, so tables that only the target has are not listed",
        ]
    );
    let all = ["--tables", "v*", "--include-views"];
    assert_eq!(select("", &all, SOURCE, "").unwrap().0, "v_open=v_open");
}

#[test]
fn exclusions_hold_for_every_list() {
    let more = "exclude = ['dbo.tmp_*', '\"a,b\"']\n[[tables]]\nsource = 'dbo.tmp_a'\n[[tables]]\nsource = 'orders'\n";
    let (pairs, scope) = select(more, &[], "", "").unwrap();
    assert_eq!(pairs, "orders=orders");
    assert_eq!(
        scope.notes,
        [
            "1 table excluded: dbo.tmp_a",
            "the exclusion `\"a,b\"` matches no table of the list"
        ]
    );
    let flag = [
        "--tables",
        "*",
        "--exclude",
        "[tmp_a], dbo.tmp_b,__*,\"Orders\"",
    ];
    assert_eq!(
        select("", &flag, SOURCE, "").unwrap().0,
        "Customers=Customers OrderLines=OrderLines"
    );
    let (_, scope) = select("", &["--tables", "Orders,!tmp_z"], SOURCE, "").unwrap();
    assert_eq!(
        scope.notes,
        ["the exclusion `tmp_z` matches no table of the list"]
    );
}

#[test]
fn an_entry_of_the_configuration_may_be_a_pattern() {
    let more = "\
[[tables]]
source = 'dbo.*'
target = 'erp.dbo_*'
key = ['a']
[[tables]]
source = 'Order*'
key = ['b']
[[tables]]
source = 'orders'
key = ['c']
[[rules]]
tables = 'dbo.*s'
columns = '*_at'
precision = 3
";
    let settings_of = |arguments: &[&str]| {
        let settings = settings(more, arguments);
        let catalogs = Catalogs {
            source: Some(catalog(SOURCE)),
            target: None,
        };
        let selected = settings.tables.listed().unwrap().plan(&catalogs).unwrap();
        let tables = selected.tables.into_iter().map(|table| {
            let spec = table.spec;
            format!(
                "{}={} {} {}",
                spec.source.table,
                spec.target.table,
                spec.key.unwrap_or_default().concat(),
                spec.options.general_rules.len()
            )
        });
        tables.collect::<Vec<_>>()
    };
    assert_eq!(
        settings_of(&["--exclude", "tmp*,__*"]),
        [
            "dbo.Customers=erp.dbo_Customers a 1",
            "OrderLines=OrderLines b 1",
            "orders=orders c 1",
        ]
    );
    assert_eq!(
        settings_of(&["--tables", "Customers,OrderLines,sales.orders,tmp_a"]),
        [
            "Customers=erp.dbo_Customers a 1",
            "OrderLines=OrderLines b 1",
            "sales.orders=sales.orders  0",
            "tmp_a=erp.dbo_tmp_a a 0",
        ]
    );
}

#[test]
fn two_sources_with_one_target_are_refused() {
    let error = |more: &str, list: &str, source: &str, target: &str| {
        select(more, &["--tables", list], source, target).unwrap_err()
    };
    for (list, source, target, names) in [
        (
            "dbo.*",
            "dbo.Users dbo.users",
            "public.users",
            ["dbo.Users", "dbo.users", "public.users"],
        ),
        (
            "dbo.order_details,dbo.[Order Details]",
            "dbo.order_details dbo.OrderDetails",
            "public.orderdetails",
            [
                "dbo.order_details",
                "dbo.Order Details",
                "public.orderdetails",
            ],
        ),
        ("a=c,b=c", "", "", ["a", "b", "public.c"]),
        ("a=PUBLIC.C,b=c", "", "public.c", ["a", "b", "public.c"]),
        (
            "sales.a,sales.b=sales.A",
            "",
            "sales.a",
            ["sales.a", "sales.b", "sales.a"],
        ),
    ] {
        let message = error("", list, source, target);
        assert!(message.contains("both resolve to"), "{list}: {message}");
        for name in names {
            assert!(message.contains(name), "{list}: {message}");
        }
    }
    let both = select(
        "",
        &["--tables", "*"],
        "dbo.Users dbo.users",
        "public.Users public.users",
    );
    assert_eq!(both.unwrap().0, "Users=Users users=users");
    let twice = error("", "DBO.T,[dbo].[t]", "dbo.T", "public.t");
    assert!(twice.contains("listed twice"), "{twice}");
    let long = "a".repeat(70);
    let cut = &long[..63];
    let list = format!("t={long},t={cut}");
    let message = error("", &list, "", &format!("public.{cut}"));
    for word in [&long, cut, "listed twice", "63 bytes"] {
        assert!(message.contains(word), "{message}");
    }
    let list = format!("t={long},u={cut}");
    let message = error("", &list, "", &format!("public.{cut}"));
    assert!(message.contains("both resolve to") && message.contains("63 bytes"));
    // Each is compared with its own part of the target.
    let parts = "[[tables]]\nsource = 'a'\nwhere = { target = 'n = 1' }\n[[tables]]\nsource = 'b'\nwhere = { target = 'n = 2' }\n";
    assert_eq!(
        select(parts, &["--tables", "a=c,b=c"], "", "").unwrap().0,
        "a=c b=c"
    );
    let same = parts.replace("n = 2", "n = 1");
    assert!(error(&same, "a=c,b=c", "", "").contains("both resolve to"));
}

#[test]
fn a_catalog_is_read_where_names_leave_the_target_open() {
    let may_share = |list: &str| {
        settings("", &["--tables", list])
            .tables
            .listed()
            .unwrap()
            .may_share_target()
            .unwrap()
    };
    assert!(may_share("Users,users"));
    assert!(may_share("DBO.OrderDetails,order_details"));
    assert!(may_share("a=PUBLIC.x,b=x"));
    assert!(may_share("T,dbo.t"));
    assert!(!may_share("users,orders,sales.users"));
    assert!(!may_share("a,b=x,a=y"));
}

#[test]
fn tables_that_only_the_target_has_are_listed() {
    let target = "public.orders public.order_lines public.forgotten view:public.v_open view:public.v_new \
             system:public.spatial_ref_sys sales.other dbo.far public.tmp_b public.tmp_c public.erp_orders public.erp_old";
    let only = |arguments: &[&str]| {
        let selected = select("", arguments, SOURCE, target);
        let (_, scope) = selected.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        (scope.target_only_tables.join(" "), scope)
    };
    let (tables, scope) = only(&["--tables", "dbo.*"]);
    assert_eq!(
        tables,
        "public.erp_old public.erp_orders public.forgotten public.tmp_c"
    );
    assert!(!scope.strict);
    let note = scope.notes.last().unwrap();
    assert!(
        note.starts_with("4 tables only in the target: public.erp_old"),
        "{note}"
    );
    assert!(note.contains("--strict-tables counts that"), "{note}");
    assert_eq!(
        only(&["--tables", "*.*"]).0,
        "dbo.far public.erp_old public.erp_orders public.forgotten public.tmp_c sales.other"
    );
    assert_eq!(
        only(&["--tables", "dbo.*=public.erp_*"]).0,
        "public.erp_old"
    );
    assert_eq!(only(&["--tables", "OrderL*"]).0, "");
    let (tables, scope) = only(&[
        "--tables",
        "*",
        "--exclude",
        "forgotten,erp_*,nothing,_?_*",
        "--strict-tables",
    ]);
    assert_eq!((tables.as_str(), scope.strict), ("public.tmp_c", true));
    assert_eq!(
        scope.notes[2..],
        [
            "the exclusion `nothing` matches no table of the list",
            "the exclusion `_?_*` matches no table of the list",
            "1 table only in the target: public.tmp_c; a difference, by --strict-tables",
        ]
    );
    let with_views = only(&["--tables", "*", "--include-views", "--exclude", "tmp*,erp*"]).0;
    assert_eq!(with_views, "public.forgotten public.v_new");
    let (_, listed) = only(&["--tables", "Orders", "--strict-tables"]);
    assert!(listed.notes[0].contains("has no effect"), "{listed:?}");
}

#[test]
fn a_star_alone_in_the_target_may_be_the_whole_name() {
    let target_of =
        |target: &str| select("", &["--tables", "dbo.tbl_*=public.*"], "dbo.tbl_a", target);
    assert_eq!(target_of("public.a").unwrap().0, "dbo.tbl_a=public.a");
    assert_eq!(
        target_of("public.TBL_A").unwrap().0,
        "dbo.tbl_a=public.tbl_a"
    );
    assert_eq!(target_of("public.x").unwrap().0, "dbo.tbl_a=public.a");
    assert_eq!(target_of("").unwrap().0, "dbo.tbl_a=public.a");
    let both = target_of("public.a public.tbl_a").unwrap_err();
    assert!(both.contains("may be public.a or public.tbl_a"), "{both}");
}

#[test]
fn a_pattern_without_a_table_is_refused() {
    for (list, words) in [
        (
            "z*",
            &["`z*` matches none of the 9 tables of erp", "tables of dbo"][..],
        ),
        ("dbo.Custmers*", &["did you mean dbo.Customers?"]),
        ("v_*", &["views (1)", "--include-views"]),
        ("sys*", &["tables of the system (1)"]),
        ("[sv]*", &["views (1) and tables of the system (1)"]),
        ("Orders,!orders", &["no table is left"]),
        ("*,!*", &["no table is left"]),
    ] {
        let error = select("", &["--tables", list], SOURCE, "").unwrap_err();
        for word in words {
            assert!(error.contains(word), "{list}: {error}");
        }
    }
}

proptest! {
    /// Every table that a pattern matches is compared once, or counted as left out.
    #[test]
    fn every_table_of_a_pattern_is_compared_or_counted(
        tables in proptest::collection::btree_map(
            "(dbo|sales)\\.[a-c_]{1,3}", prop_oneof![3 => Just(""), 1 => Just("view:"), 1 => Just("system:")], 1..12,
        ),
        patterns in proptest::collection::vec("(dbo\\.|\\*\\.|)[a-c*?]{0,2}\\*", 1..4),
        exclusions in proptest::collection::vec("(dbo\\.|)[a-c*?]{1,2}", 0..3),
        include_views: bool,
    ) {
        let names: Vec<String> =
            tables.iter().map(|(name, kind)| format!("{kind}{name}")).collect();
        let list = patterns.join(",");
        let excluded = exclusions.join(",");
        let mut arguments = vec!["--tables", &list, "--exclude", &excluded];
        if include_views {
            arguments.push("--include-views");
        }
        let Ok((pairs, scope)) = select("", &arguments, &names.join(" "), "") else {
            return Ok(());
        };
        let selectors: Vec<TableSelector> =
            patterns.iter().map(|text| text.parse().unwrap()).collect();
        let matched: BTreeSet<&String> = tables
            .keys()
            .filter(|whole| {
                let (schema, name) = whole.split_once('.').unwrap();
                selectors.iter().any(|selector| match selector {
                    TableSelector::Pattern(pattern) => {
                        pattern.find(schema, name, schema == "dbo").is_some()
                    }
                    TableSelector::Name(_) => false,
                })
            })
            .collect();
        let mut compared: Vec<String> = pairs
            .split(' ')
            .map(|pair| {
                let source = pair.split('=').next().unwrap();
                if source.contains('.') { source.to_owned() } else { format!("dbo.{source}") }
            })
            .collect();
        compared.sort();
        let count = compared.len();
        compared.dedup();
        prop_assert_eq!(compared.len(), count, "{:?}", &pairs);
        prop_assert!(compared.iter().all(|name| matched.contains(name)));
        let counted: usize = scope
            .notes
            .iter()
            .filter(|note| note.contains("excluded:") || note.contains("left out"))
            .map(|note| note.split(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        prop_assert_eq!(compared.len() + counted, matched.len(), "{:?} {:?}", &pairs, &scope);
    }
}

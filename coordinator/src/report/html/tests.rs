use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::report::samples::{filled_with, large, mixed};

/// The tags of a page, with their attributes.
fn tags(page: &str) -> Vec<String> {
    let pieces = page.split('<').skip(1);
    pieces
        .map(|piece| {
            let tag = piece.split_once('>').map(|(tag, _)| tag);
            tag.unwrap_or_else(|| panic!("a tag without an end: {piece}"))
                .to_owned()
        })
        .collect()
}

/// The page without its style.
fn body(page: &str) -> &str {
    &page[page.find("<body>").unwrap()..]
}

#[test]
fn headings_are_in_order_and_nothing_is_loaded() {
    for report in [mixed(), filled_with("text")] {
        let page = report.to_html();
        assert!(
            page.starts_with("<!DOCTYPE html><html lang=\"en\">"),
            "{page}"
        );
        for reference in [
            "src=", "href=", "url(", "@import", "<script", "<link", "<iframe",
        ] {
            assert!(!page.contains(reference), "{reference} in {page}");
        }
        let tags = tags(body(&page));
        let levels = tags.iter().filter_map(|tag| match tag.as_str() {
            "h1" => Some(1),
            "h2" => Some(2),
            "h3" => Some(3),
            _ => None,
        });
        let levels: Vec<u8> = levels.collect();
        assert_eq!(levels[0], 1);
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
        let jumps = levels.windows(2).filter(|pair| pair[1] > pair[0] + 1);
        assert_eq!(jumps.count(), 0, "{levels:?}");
        let unscoped = tags
            .iter()
            .filter(|tag| tag.starts_with("th") && *tag != "thead" && !tag.contains("scope="));
        assert_eq!(unscoped.count(), 0);
    }
}

#[test]
fn it_has_what_a_reader_signs() {
    let page = mixed().to_html();
    for words in [
        "<h1>INCOMPLETE: 2 of 4 tables could not be verified; 1 different</h1>",
        "4 tables: 1 matched, 1 mismatched, 1 failed, 1 cancelled, in 2.3 s",
        "01900000-0000-7000-8000-000000000000",
        "reconcile 0.1.0, ops on host1",
        "The run was ended by <bdi>t2: TableNotFound: TableNotFound happened</bdi>",
        "<bdi>'a\\u{1b}[31m\\n'</bdi>",
        "Slowest tables",
        "All tables",
        "Approved by",
    ] {
        assert!(page.contains(words), "no {words} in {page}");
    }
}

#[test]
fn the_page_of_a_thousand_tables_is_small_and_has_them_all() {
    let page = large(1_000).to_html();
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    for at in [0, 500, 999] {
        let title = format!("a_table_with_a_rather_long_name_{at} = ");
        assert!(page.contains(&title), "{title}");
    }
    assert!(page.contains("more differing tables are left out here"));
    assert!(page.contains("more notes are left out here"));
}

proptest! {
    /// No text becomes a tag or an attribute, and none contains a character that cannot be seen.
    #[test]
    fn no_text_is_markup(text in prop_oneof![
        "[<>&\"'/a-z= !-]{0,20}",
        "\\PC{0,12}",
        any::<String>(),
        Just("</bdi></style><script>alert(1)</script>".to_owned()),
        Just("\" onclick=\"x\u{202e}\u{7}\r\n".to_owned()),
    ]) {
        let page = filled_with(&text).to_html();
        let known: BTreeSet<String> = tags(&filled_with("a\u{200b} b").to_html()).into_iter().collect();
        let found: BTreeSet<String> = tags(&page).into_iter().collect();
        let new: Vec<&String> = found.difference(&known).collect();
        prop_assert!(new.is_empty(), "{:?}", new);
        let invisible = body(&page).chars().find(|it| {
            it.is_control() || matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}')
        });
        prop_assert_eq!(invisible, None);
    }
}

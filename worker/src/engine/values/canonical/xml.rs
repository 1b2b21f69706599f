//! XML in a canonical form: what databases keep of it, in one notation.
//!
//! SQL Server does not keep the declaration, white space between elements, the order
//! of attributes, prefixes of namespaces, and how characters and empty elements are
//! written. The canonical form is XML itself, after Canonical XML (W3C): sorted
//! attributes in double quotes, a start and an end tag for every element, characters
//! instead of references, namespaces declared where they begin. Text that consists of
//! white space only is kept where it was written by references or in CDATA, or under
//! `xml:space="preserve"`.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

/// The longest text, in bytes, that is parsed.
const LONGEST: usize = 16 << 20;

const MOST_NODES: u32 = 1_000_000;

/// SQL Server stores at most 128 nested elements.
const DEEPEST: usize = 256;

/// The most comparisons of names that the parser makes because of attributes and
/// namespaces: it compares all attributes of an element with each other, and copies
/// the namespaces in scope for an element that declares another.
const MOST_COMPARISONS: u64 = 50_000_000;

const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// The canonical form of XML, which may be a fragment without a root element; `None`
/// for text that is no XML, has a document type definition, or exceeds the limits.
pub(crate) fn canonical_xml(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    if text.len() > LONGEST {
        return None;
    }
    // A fragment may have several elements.
    let whole = format!("<x>{}</x>", without_declaration(text));
    if !is_bounded(whole.as_bytes()) {
        return None;
    }
    let options = ParsingOptions {
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&whole, options).ok()?;
    let root = document.root_element();
    let mut written = String::with_capacity(text.len());
    let mut next = root.first_child();
    while let Some(node) = next {
        begin(node, &whole, &mut written);
        next = node.first_child().or_else(|| {
            let mut ended = node;
            loop {
                end(ended, &mut written);
                if let Some(sibling) = ended.next_sibling() {
                    return Some(sibling);
                }
                ended = ended.parent().filter(|parent| *parent != root)?;
            }
        });
    }
    Some(written.into_bytes())
}

/// The text without its XML declaration, whose encoding is no longer true.
pub(crate) fn without_declaration(text: &str) -> &str {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let is_declared = text
        .strip_prefix("<?xml")
        .is_some_and(|rest| rest.starts_with(is_space));
    match text.split_once("?>") {
        Some((_, rest)) if is_declared => rest,
        _ => text,
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Writes a node but for its children and its end tag.
fn begin(node: Node<'_, '_>, whole: &str, written: &mut String) {
    if node.is_element() {
        start_tag(node, written);
    } else if let Some(pi) = node.pi() {
        let value = pi
            .value
            .map_or_else(String::new, |value| format!(" {value}"));
        *written += &format!("<?{}{}?>", pi.target, line_ends(&value));
    } else if node.is_comment() {
        *written += &format!("<!--{}-->", line_ends(node.text().unwrap_or_default()));
    } else if let Some(text) = node.text()
        && !is_insignificant(node, text, whole)
    {
        let is_blank = text.chars().all(is_space);
        for character in text.chars() {
            match character {
                '&' => written.push_str("&amp;"),
                '<' => written.push_str("&lt;"),
                '>' => written.push_str("&gt;"),
                '\r' => written.push_str("&#13;"),
                // Written by a reference, it is not insignificant when it is read again.
                other if is_blank => *written += &format!("&#{};", u32::from(other)),
                other => written.push(other),
            }
        }
    }
}

fn end(node: Node<'_, '_>, written: &mut String) {
    if node.is_element() {
        *written += &format!("</{}>", node.tag_name().name());
    }
}

fn start_tag(node: Node<'_, '_>, written: &mut String) {
    let name = node.tag_name();
    let namespace = name.namespace().unwrap_or_default();
    let parent = node.parent_element();
    let inherited = parent.and_then(|parent| parent.tag_name().namespace());
    *written += &format!("<{}", name.name());
    let mut attribute = |name: &str, value: &str| {
        *written += &format!(" {name}=\"");
        for character in value.chars() {
            match character {
                '&' => written.push_str("&amp;"),
                '<' => written.push_str("&lt;"),
                '"' => written.push_str("&quot;"),
                '\t' | '\n' | '\r' => *written += &format!("&#{};", u32::from(character)),
                other => written.push(other),
            }
        }
        written.push('"');
    };
    if namespace != inherited.unwrap_or_default() {
        attribute("xmlns", namespace);
    }
    let attributes: BTreeMap<(&str, &str), &str> = node
        .attributes()
        .map(|it| ((it.namespace().unwrap_or_default(), it.name()), it.value()))
        .collect();
    // Prefixes are not kept: they are numbered.
    let mut prefixes: BTreeMap<&str, String> = BTreeMap::new();
    for (namespace, _) in attributes.keys() {
        if !matches!(*namespace, "" | XML_NAMESPACE) && !prefixes.contains_key(namespace) {
            let prefix = format!("n{}", prefixes.len() + 1);
            attribute(&format!("xmlns:{prefix}"), namespace);
            prefixes.insert(namespace, prefix);
        }
    }
    for ((namespace, name), value) in attributes {
        match (namespace, prefixes.get(namespace)) {
            (_, Some(prefix)) => attribute(&format!("{prefix}:{name}"), value),
            (XML_NAMESPACE, _) => attribute(&format!("xml:{name}"), value),
            _ => attribute(name, value),
        }
    }
    written.push('>');
}

/// Line ends as XML has them.
fn line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Whether a text is white space between elements, written as such.
fn is_insignificant(node: Node<'_, '_>, text: &str, whole: &str) -> bool {
    if !text.chars().all(is_space) {
        return false;
    }
    let raw = whole.get(node.range().start..).unwrap_or_default();
    let (written, rest) = raw.split_at(raw.find('<').unwrap_or(raw.len()));
    let is_plain = written.chars().all(is_space) && !rest.starts_with("<![CDATA[");
    let is_preserved = || {
        let mut scopes = node.ancestors();
        scopes.find_map(|scope| scope.attribute((XML_NAMESPACE, "space"))) == Some("preserve")
    };
    is_plain && !is_preserved()
}

/// Whether the parser needs little time and memory for the text. Text that is no XML
/// may be bounded: the parser stops at its first error.
fn is_bounded(text: &[u8]) -> bool {
    // The namespaces that are in scope in each open element.
    let mut scopes: Vec<u64> = vec![1];
    let mut comparisons = 0_u64;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        rest = &rest[at..];
        let after = match rest {
            [b'<', b'!', b'-', b'-', ..] => after(rest, b"-->"),
            _ if rest.starts_with(b"<![CDATA[") => after(rest, b"]]>"),
            // A document type definition.
            [b'<', b'!', ..] => return false,
            [b'<', b'?', ..] => after(rest, b"?>"),
            [b'<', b'/', ..] => {
                scopes.pop();
                after(rest, b">")
            }
            _ => tag(rest).map(|(tag, after)| {
                let inherited = scopes.last().copied().unwrap_or(1);
                let in_scope = inherited + tag.namespaces;
                comparisons += tag.attributes * tag.attributes;
                if tag.namespaces > 0 {
                    comparisons += in_scope * tag.namespaces;
                }
                if !tag.is_empty {
                    scopes.push(in_scope);
                }
                after
            }),
        };
        match after {
            Some(after) if scopes.len() <= DEEPEST && comparisons <= MOST_COMPARISONS => {
                rest = after;
            }
            _ => return false,
        }
    }
    true
}

fn after<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(end.len()).position(|window| window == end)?;
    Some(&text[at + end.len()..])
}

/// What a start tag has, as far as it needs time.
struct TagSize {
    attributes: u64,
    namespaces: u64,
    is_empty: bool,
}

/// The start tag at the start of `text`, and what follows it.
fn tag(text: &[u8]) -> Option<(TagSize, &[u8])> {
    let mut size = TagSize {
        attributes: 0,
        namespaces: 0,
        is_empty: false,
    };
    let mut quote = None;
    for (at, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == *byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'=') => size.attributes += 1,
            (None, b'x') if text[at..].starts_with(b"xmlns") => size.namespaces += 1,
            (None, b'>') => {
                size.is_empty = text[at - 1] == b'/';
                return Some((size, &text[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> Option<String> {
        canonical_xml(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn notations_of_the_same_xml_have_one_form() {
        for (form, notations) in [
            (
                "<a b=\"1\" c=\"2\"></a>",
                &["<a b=\"1\" c=\"2\"/>", "<a c='2'  b='1'></a >"][..],
            ),
            (
                "<r><x>1</x><y></y></r>",
                &[
                    "<r><x>1</x><y/></r>",
                    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<r>\n  <x>1</x>\n  <y/>\n</r>\n",
                    "\u{FEFF}<?xml version='1.0'?><r><x>&#49;</x><y></y></r>",
                ],
            ),
            (
                "<r>a &amp; \"b\" &lt; é\n</r>",
                &[
                    "<r>a &amp; \"b\" &lt; é\n</r>",
                    "<r>a &#x26; &quot;b&quot; <![CDATA[<]]> &#233;\r\n</r>",
                ],
            ),
            (
                "<a b=\"&quot;&#10;'\"></a>",
                &["<a b='\"&#xA;&apos;'/>", "<a b=\"&#34;&#10;'\"/>"],
            ),
            (
                "<a xmlns=\"u\"><b xmlns=\"\"></b><c xmlns:n1=\"v\" d=\"1\" n1:d=\"2\"></c></a>",
                &[
                    "<p:a xmlns:p='u' xmlns:q='v' xmlns:unused='w'><b/><p:c q:d='2' d='1'/></p:a>",
                    "<a xmlns='u'><b xmlns=''/><c xmlns:z='v' d='1' z:d='2'/></a>",
                ],
            ),
            (
                "one<a></a>two<!--c--><?p v?>",
                &["one<a/>two<!--c--><?p v?>", "one<a></a>two<!--c--><?p  v?>"],
            ),
            (
                "<a xml:space=\"preserve\">&#32;<b></b></a>",
                &["<a xml:space='preserve'> <b/></a>"],
            ),
            ("<a>&#32;</a>", &["<a>&#x20;</a>", "<a><![CDATA[ ]]></a>"]),
            ("<a></a>", &["<a> </a>", "<a>\n\t</a>", "<a/>"]),
            ("", &["", "  ", "<?xml version='1.0'?>"]),
        ] {
            for notation in notations {
                assert_eq!(canonical(notation).as_deref(), Some(form), "{notation}");
            }
            assert_eq!(canonical(form).as_deref(), Some(form));
        }
    }

    #[test]
    fn what_is_no_xml_has_no_form() {
        for text in [
            "<a>",
            "</a>",
            "<a></b>",
            "<a b='1' b='2'/>",
            "<a b=1/>",
            "a < b",
            "&nbsp;",
            "</x><x>",
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "<p:a/>",
            "<a>\u{1}</a>",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert_eq!(canonical_xml(b"<a>\xFF</a>"), None);
    }

    #[test]
    fn hostile_xml_is_refused_at_once() {
        let repeated =
            |part: fn(usize) -> String, count: usize| -> String { (0..count).map(part).collect() };
        let deep = "<a>".repeat(1_000_000) + &"</a>".repeat(1_000_000);
        let attributes = repeated(|at| format!(" a{at}=''"), 100_000);
        let namespaces = repeated(|at| format!(" xmlns:a{at}='u'"), 30_000);
        let declared = "<b xmlns='v'/>".repeat(100_000);
        let began = std::time::Instant::now();
        for text in [
            deep,
            format!("<a{attributes}/>"),
            format!("<a{namespaces}>{declared}</a>"),
            "<a/>".repeat(2_000_000),
            "x".repeat(LONGEST + 1),
        ] {
            assert_eq!(canonical(&text), None, "{}", &text[..20]);
        }
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
        // As deep as a database stores it.
        let nested = "<a>".repeat(128) + &"</a>".repeat(128);
        assert_eq!(canonical(&nested), Some(nested));
    }

    /// An element with attributes and children, in two notations.
    fn element() -> impl Strategy<Value = (String, String)> {
        let text = prop_oneof![
            "[a-z é]{1,6}".prop_map(|text| {
                let references = text.chars().map(|c| format!("&#{};", u32::from(c)));
                (
                    format!("x{text}"),
                    format!("x{}", references.collect::<String>()),
                )
            }),
            Just(("&lt;&amp;".to_owned(), "<![CDATA[<&]]>".to_owned())),
        ];
        text.prop_recursive(4, 20, 4, |inner| {
            let children = proptest::collection::vec(inner, 0..4);
            (children, "[a-c]", "[a-z\"' ]{0,4}").prop_map(|(children, name, value)| {
                let quoted = value.replace('"', "&quot;");
                let apostrophes = value.replace('\'', "&apos;");
                let (first, second): (Vec<String>, Vec<String>) = children.into_iter().unzip();
                (
                    format!("<{name} p=\"{quoted}\" q=\"1\">{}</{name}>", first.concat()),
                    format!(
                        "<{name}  q='1' p='{apostrophes}'>{}</{name} >",
                        second.concat()
                    ),
                )
            })
        })
    }

    proptest! {
        #[test]
        fn two_notations_have_one_form((first, second) in element()) {
            let form = canonical(&first);
            prop_assert!(form.is_some(), "{first}");
            prop_assert_eq!(&form, &canonical(&second));
            prop_assert_eq!(&canonical(form.as_ref().unwrap()), &form);
        }

        #[test]
        fn whatever_comes_has_a_form_that_stays_or_none(text in "[<>/a-c =\"'&;#0-9!?\\[\\]x-]{0,40}") {
            if let Some(form) = canonical(&text) {
                prop_assert_eq!(canonical(&form), Some(form));
            }
        }
    }
}

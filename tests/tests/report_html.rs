//! The HTML report in a real browser without a network, and an accessibility check of it. The check
//! needs axe-core, which `tests/run.sh` installs if there is npm.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tests::browser::Browser;
use tests::scene::Scene;

/// What no page may execute.
const SCRIPT: &str = "<script>document.title='x'</script>";

/// Equal, different and failing tables, with names and values that look like markup.
fn scene() -> Scene {
    let sql = |value: &str, broken: &str| {
        let value = value.replace('\'', "''");
        format!(
            "CREATE TABLE equal (id int PRIMARY KEY, v text);
             INSERT INTO equal SELECT n, 'v' FROM generate_series(1, 10) n;
             CREATE TABLE \"<img src=x onerror=1>\" (\"<b>id</b>\" int PRIMARY KEY, \"v\"\"><i\" text);
             INSERT INTO \"<img src=x onerror=1>\" VALUES (1, '{value}'), (2, 'same');
             CREATE TABLE many (id int PRIMARY KEY, v text, w text);
             INSERT INTO many SELECT n, '{value}', repeat(n || '{value}', 50) FROM generate_series(1, 100) n;
             {broken}"
        )
    };
    Scene::new(
        &sql(SCRIPT, "CREATE TABLE broken (id int PRIMARY KEY)"),
        &sql("\"' onclick=1 \u{202e}x", ""),
    )
    .unwrap()
}

/// The report of a run, as a file.
fn report(scene: &Scene) -> PathBuf {
    let tables = "equal,\"<img src=x onerror=1>\",many,broken";
    let run = scene.here.reconcile(&[
        "run",
        "--tables",
        tables,
        "--output",
        "report.html",
        "--output",
        "report.json",
    ]);
    assert_eq!(run.code, 3, "{run:?}");
    scene.here.path().join("report.html")
}

#[test]
fn a_browser_shows_the_report_without_a_network_and_executes_nothing() {
    let scene = scene();
    let page = report(&scene);
    let browser = Browser::new();
    let elements = browser.elements(&page);
    for words in [
        "INCOMPLETE: 1 of 4 tables could not be verified; 2 different",
        "TableNotFound",
        "&lt;img src=x onerror=1&gt;",
        "&lt;script&gt;document.title=\\'x\\'&lt;/script&gt;",
        "\\u{202e}",
        "Approved by",
    ] {
        assert!(elements.contains(words), "no {words} in {elements}");
    }
    assert!(!elements.contains("<title>x"), "{elements}");
    for element in ["<script", "<img", "<i>", "<b>"] {
        assert!(!elements.contains(element), "{element} in {elements}");
    }
    let pdf = browser.print(&page);
    assert!(
        pdf.starts_with(b"%PDF") && pdf.len() > 10_000,
        "{}",
        pdf.len()
    );
}

/// axe-core, where `tests/run.sh` installs it.
fn axe() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = root.join(target.unwrap_or_else(|| PathBuf::from("target")));
    std::fs::read_to_string(target.join("axe/node_modules/axe-core/axe.min.js")).ok()
}

/// The result of axe-core on a page, which gets its scripts and loses the rule that forbids them.
fn check(page: &Path, axe: &str) -> Json {
    let text = std::fs::read_to_string(page).unwrap();
    let begin = text
        .find("<meta http-equiv=\"Content-Security-Policy\"")
        .unwrap();
    let end = begin + text[begin..].find('>').unwrap() + 1;
    let script = "axe.run(document, { resultTypes: ['violations', 'passes'] }).then(result => {
        const brief = list => list.map(rule => ({ id: rule.id, nodes: rule.nodes.slice(0, 3).map(node => node.html) }));
        const found = document.createElement('pre');
        found.id = 'found';
        found.textContent = JSON.stringify({ violations: brief(result.violations), passes: result.passes.map(rule => rule.id) });
        document.body.append(found);
    });";
    let with_scripts = format!(
        "{}{}<script>{axe}</script><script>{script}</script>",
        &text[..begin],
        &text[end..]
    );
    let copy = page.with_file_name("with-scripts.html");
    std::fs::write(&copy, with_scripts).unwrap();
    let elements = Browser::new().elements(&copy);
    let found = elements.split_once("<pre id=\"found\">");
    let found = found.unwrap_or_else(|| panic!("axe-core has no result: {elements}"));
    let found = found.1.split_once("</pre>").unwrap().0;
    let found = found
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    serde_json::from_str(&found).unwrap()
}

#[test]
fn the_report_is_accessible() {
    let Some(axe) = axe() else {
        eprintln!("skipped: axe-core is not installed; tests/run.sh installs it if there is npm");
        return;
    };
    let scene = scene();
    let found = check(&report(&scene), &axe);
    assert_eq!(found["violations"], Json::Array(Vec::new()), "{found:#}");
    let passed = found["passes"].as_array().unwrap();
    for rule in [
        "color-contrast",
        "html-has-lang",
        "document-title",
        "heading-order",
        "scope-attr-valid",
    ] {
        assert!(
            passed.iter().any(|it| it == rule),
            "{rule} was not checked: {found:#}"
        );
    }
}

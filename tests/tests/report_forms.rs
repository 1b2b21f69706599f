//! The forms of a report and the commands around reports: files by the ends of their names, one
//! table, the stored rows, what changed between two runs, and runs of the tables that differed.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value as Json, json};
use tests::product::{Run, result};
use tests::scene::Scene;

/// Four tables: equal, of other rows, with a missing row and one that the target lacks.
fn scene() -> Scene {
    let sql = |value: &str, last: u32| {
        format!(
            "CREATE TABLE equal (id int PRIMARY KEY, v text);
             INSERT INTO equal VALUES (1, 'a|b'), (2, 'b');
             CREATE TABLE modified (id int PRIMARY KEY, v text);
             INSERT INTO modified SELECT n, '{value}' FROM generate_series(1, 8) n;
             CREATE TABLE shorter (id int PRIMARY KEY);
             INSERT INTO shorter SELECT n FROM generate_series(1, {last}) n;"
        )
    };
    Scene::new(
        &format!(
            "{}; CREATE TABLE lost (id int PRIMARY KEY)",
            sql("<a & \"b\">", 3)
        ),
        &sql("`c`", 2),
    )
    .unwrap()
}

const TABLES: &str = "equal,modified,shorter,lost";

fn command(scene: &Scene, arguments: &[&str]) -> Run {
    scene.here.reconcile(arguments)
}

fn read(scene: &Scene, name: &str) -> String {
    std::fs::read_to_string(scene.here.path().join(name)).unwrap()
}

/// The names in a list of changes.
fn names(changes: &Json, list: &str) -> Vec<String> {
    let tables = changes[list].as_array().unwrap().iter();
    tables
        .map(|table| table["table"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_report_is_written_in_several_forms_at_once_and_again_from_the_store() {
    let scene = scene();
    let forms = ["json", "csv", "html", "xml", "md", "txt"];
    let outputs = |directory: &str| -> Vec<String> {
        let names = forms.map(|form| format!("--output={directory}/report.{form}"));
        names.to_vec()
    };
    for directory in ["live", "stored"] {
        std::fs::create_dir(scene.here.path().join(directory)).unwrap();
    }
    let live = outputs("live");
    let mut arguments = vec!["run", "--tables", TABLES, "--format", "console"];
    arguments.extend(live.iter().map(String::as_str));
    let run = command(&scene, &arguments);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.starts_with("INCOMPLETE: "), "{run:?}");
    assert_eq!(
        run.stderr.matches("the report is in live/").count(),
        6,
        "{run:?}"
    );

    let stored = outputs("stored");
    let mut arguments = vec!["report", "latest", "--format", "console"];
    arguments.extend(stored.iter().map(String::as_str));
    let again = command(&scene, &arguments);
    assert_eq!((again.code, &again.stdout), (3, &run.stdout));
    for form in forms {
        let name = |directory: &str| format!("{directory}/report.{form}");
        let (live, stored) = (read(&scene, &name("live")), read(&scene, &name("stored")));
        assert_eq!(live, stored, "{form}");
        let metadata = std::fs::metadata(scene.here.path().join(name("live"))).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{form}");
    }
    assert_eq!(read(&scene, "live/report.txt"), run.stdout);
    let markdown = read(&scene, "live/report.md");
    assert!(
        markdown.contains("'&lt;a &amp; \"b\"&gt;' → '\\`c\\`'"),
        "{markdown}"
    );
}

#[test]
fn a_name_that_tells_no_form_is_refused_before_the_run() {
    let scene = scene();
    let run = command(
        &scene,
        &["run", "--tables", "equal", "--output", "report.pdf"],
    );
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr.contains("report.pdf") && run.stderr.contains(".xml (JUnit)"),
        "{run:?}"
    );
    let history = command(&scene, &["history"]);
    assert!(history.stdout.starts_with("no runs in "), "{history:?}");
    // With files, standard output is empty unless a form is chosen for it.
    let configuration = scene.here.path().join("reconcile.toml");
    let text = std::fs::read_to_string(&configuration).unwrap();
    let text = text.replace("format = 'json'", "output = ['a.json', 'b.md']");
    std::fs::write(&configuration, text).unwrap();
    let run = command(&scene, &["run", "--tables", "equal"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run:?}");
    assert!(read(&scene, "b.md").starts_with("## EQUAL: every row of 1 table"));
}

#[test]
fn the_junit_report_is_valid() {
    let scene = scene();
    let run = command(
        &scene,
        &["run", "--tables", TABLES, "--output", "report.xml"],
    );
    assert_eq!(run.code, 3, "{run:?}");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/junit.xsd");
    let validated = Command::new("/usr/bin/xmllint")
        .args(["--nonet", "--noout", "--schema", schema])
        .arg(scene.here.path().join("report.xml"))
        .output()
        .unwrap();
    assert!(validated.status.success(), "{validated:?}");
    let text = read(&scene, "report.xml");
    let suite = "tests=\"4\" failures=\"2\" errors=\"1\"";
    assert!(text.contains(suite), "{text}");
}

#[test]
fn one_table_and_its_rows_are_printed_from_the_store() {
    let scene = scene();
    let run = command(
        &scene,
        &["run", "--tables", TABLES, "--max-differences", "6"],
    );
    assert_eq!(run.code, 3, "{run:?}");
    for (table, code, words) in [
        ("equal", 0, "EQUAL: equal\n1 of the 4 tables of run "),
        ("MODIFIED", 1, "  v text = v text "),
        ("lost", 3, "TableNotFound: "),
    ] {
        let shown = command(&scene, &["report", "latest", "--table", table]);
        assert_eq!(shown.code, code, "{shown:?}");
        assert!(
            shown.stdout.contains(words),
            "no {words} in {}",
            shown.stdout
        );
    }
    let modified = [
        "report", "latest", "--table", "modified", "--format", "json",
    ];
    let modified = serde_json::from_str::<Json>(&command(&scene, &modified).stdout).unwrap();
    assert_eq!(
        (&modified["result"]["modified"], &modified["error"]),
        (&json!(8), &Json::Null)
    );
    let unknown = command(&scene, &["report", "latest", "--table", "modifeid"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("did you mean `modified`?"),
        "{unknown:?}"
    );
    let html = ["report", "latest", "--table", "equal", "--format", "html"];
    assert_eq!(command(&scene, &html).code, 2);

    let rows = command(&scene, &["report", "latest", "--rows"]);
    assert_eq!(rows.code, 3, "{rows:?}");
    for words in [
        "modified: 6 of 8 differing rows; the others are not stored\n  modified  id=1  v: ",
        "shorter: 1 differing row\n  missing   id=3\n",
        "lost: its rows were not compared\n",
    ] {
        assert!(rows.stdout.contains(words), "no {words} in {}", rows.stdout);
    }
    let lines = ["report", "latest", "--rows", "--format", "json"];
    let lines = command(&scene, &lines).stdout;
    let lines: Vec<Json> = lines
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(lines.len(), 8, "{lines:?}");
    assert_eq!(lines[0]["columns"][0]["target"], "`c`");
    assert_eq!(
        lines[6]["incomplete"],
        "of the 8 differing rows of modified, 6 are stored"
    );
}

#[test]
fn what_changed_between_two_runs_is_printed() {
    let scene = scene();
    let compare = |more: &[&str]| {
        let run = command(&scene, &[&["run", "--tables"], more].concat());
        run.report()["run_id"].as_str().unwrap().to_owned()
    };
    let first = compare(&[TABLES]);
    let same = compare(&[TABLES]);
    let unchanged = command(&scene, &["diff", &first, &same]);
    assert_eq!(unchanged.code, 0, "{unchanged:?}");
    assert!(
        unchanged.stdout.starts_with(
            "UNCHANGED: 2 tables still different, 1 table still not verified, 1 table equal in both runs\n"
        ),
        "{}",
        unchanged.stdout
    );
    scene
        .target
        .execute(
            "INSERT INTO shorter VALUES (3); UPDATE equal SET v = 'x' WHERE id = 1;
             UPDATE modified SET v = '<a & \"b\">' WHERE id < 3; CREATE TABLE lost (id int PRIMARY KEY)",
        )
        .unwrap();
    let second = compare(&[TABLES]);
    let changes = command(&scene, &["diff", &first, &second, "--format", "json"]);
    assert_eq!(changes.code, 1, "{changes:?}");
    let changes: Json = serde_json::from_str(&changes.stdout).unwrap();
    assert_eq!(changes["changed"], true);
    for (list, expected) in [
        ("newly_different", "equal"),
        ("newly_equal", "shorter"),
        ("newly_verified", "lost"),
        ("still_different", "modified"),
    ] {
        assert_eq!(names(&changes, list), [expected], "{changes:#}");
    }
    assert_eq!(
        changes["still_different"][0]["rows"],
        json!({"new": 0, "gone": 2, "kept": 6})
    );
    assert_eq!(changes["coverage"], json!([]));
    let text = command(&scene, &["diff", &first, &second]).stdout;
    let line = "  modified  missing 0 → 0, extra 0 → 0, modified 8 → 6; by their keys, 0 rows new, 2 gone, 6 in both runs\n";
    assert!(text.contains(line), "{text}");

    // A run that compares less does not pass for one in which nothing changed.
    let excluded = "\n[[tables]]\nsource = 'equal'\ncolumns.exclude = ['v']\n";
    let path = scene.here.path().join("reconcile.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + excluded).unwrap();
    let third = compare(&["equal"]);
    let text = command(&scene, &["diff", &second, &third]);
    assert_eq!(text.code, 1, "{text:?}");
    for words in [
        "; the runs do not compare the same\n",
        "  equal: column v: text compared with v text → not compared\n",
        "Newly equal\n  equal  0 missing, 0 extra, 1 modified → equal\n",
        "Only in the earlier run\n  modified, shorter, lost\n",
    ] {
        assert!(text.stdout.contains(words), "no {words} in {}", text.stdout);
    }
    assert_eq!(command(&scene, &["diff", "latest", "ffff"]).code, 2);
}

#[test]
fn only_the_tables_that_did_not_pass_are_compared_again() {
    let scene = scene();
    let first = command(&scene, &["run", "--tables", TABLES]).report();
    let id = first["run_id"].as_str().unwrap();
    let tables = |report: &Json| -> Vec<String> {
        let results = report["results"].as_array().unwrap().iter();
        results
            .map(|result| result["table"].as_str().unwrap().to_owned())
            .collect()
    };
    let again = command(&scene, &["run", "--only-differing", id]);
    assert_eq!(again.code, 3, "{again:?}");
    let again = again.report();
    assert_eq!(tables(&again), ["modified", "shorter", "lost"]);
    assert_eq!(
        again["selected_from"],
        json!({"run_id": id, "tables_left_out": 1})
    );
    assert_eq!(result(&again, "modified")["modified"], 8);

    scene
        .target
        .execute(
            "INSERT INTO shorter VALUES (3); CREATE TABLE lost (id int PRIMARY KEY);
             UPDATE modified SET v = '<a & \"b\">'",
        )
        .unwrap();
    let repaired = ["run", "--only-differing", "latest", "--format", "console"];
    let repaired = command(&scene, &repaired);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let second = again["run_id"].as_str().unwrap();
    let verdict = format!(
        "EQUAL: every row of 3 tables; not covered: 1 table that did not differ before (run {second})\n"
    );
    assert!(repaired.stdout.starts_with(&verdict), "{}", repaired.stdout);

    // Nothing is left, and that is no success.
    let nothing = command(&scene, &["run", "--only-differing", "latest"]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
    assert!(nothing.stderr.contains("nothing to compare"), "{nothing:?}");
    let conflict = [
        "run",
        "--only-differing",
        "latest",
        "--missing-columns",
        "note",
    ];
    assert_eq!(command(&scene, &conflict).code, 2);
}

/// A run that only counted is repeated with rows, and with the rules that it had.
#[test]
fn the_tables_that_differed_are_compared_deeper_with_their_own_settings() {
    let scene = scene();
    let path = scene.here.path().join("reconcile.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let counted = text.replace("row_level = true\n", "");
    let rules = "\n[[tables]]\nsource = 'shorter'\nwhere = { source = 'id <> 1' }\n[[tables]]\nsource = 'modified'\n";
    std::fs::write(&path, format!("{counted}{rules}")).unwrap();
    scene.target.execute("DELETE FROM shorter").unwrap();
    let counts = command(&scene, &["run"]);
    assert_eq!(counts.code, 1, "{counts:?}");
    std::fs::write(&path, counted).unwrap();
    let rows = command(
        &scene,
        &["run", "--only-differing", "latest", "--row-level"],
    );
    assert_eq!(rows.code, 1, "{rows:?}");
    let rows = rows.report();
    let shorter = result(&rows, "shorter");
    assert_eq!(
        (
            &shorter["depth"],
            &shorter["source_count"],
            &shorter["missing"]
        ),
        (&json!("rows"), &json!(2), &json!(2))
    );
    assert_eq!(rows["total_tables"], 1, "the counts of `modified` agree");
}

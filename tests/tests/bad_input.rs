//! Invalid input gives one message with the necessary action and the documented
//! exit code; standard output stays empty.

use tests::product::{Run, Workplace};

const ENDPOINTS: &str = "
[endpoints.erp]
url = 'postgres://u:hunter2@127.0.0.1:1/none'
[endpoints.warehouse]
url = 'postgres://u:hunter2@127.0.0.1:1/none'
";

/// The one message: not empty, not a stack trace, no secret in it.
fn assert_refused(what: &str, run: &Run, mentions: &[&str]) {
    assert_eq!(run.code, 2, "{what}: {run:?}");
    assert!(run.stdout.is_empty(), "{what}: {run:?}");
    let lower = run.stderr.to_lowercase();
    for word in mentions {
        assert!(
            lower.contains(&word.to_lowercase()),
            "{what}: no word of {word}: {run:?}"
        );
    }
    assert!(!run.stderr.contains("hunter2"), "{what}: {run:?}");
    assert!(
        !run.stderr.contains("panicked") && !run.stderr.contains("RUST_BACKTRACE"),
        "{what}: {run:?}"
    );
    assert!(
        run.stderr
            .lines()
            .filter(|line| line.starts_with("error:"))
            .count()
            == 1,
        "{what}: more than one message: {run:?}"
    );
}

/// What is wrong, the arguments, and what the message must contain.
type BadArguments = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// Arguments of a run whose endpoints are right.
const BAD_FLAGS: &[BadArguments] = &[
    ("no tables", &[], &["tables"]),
    (
        "a missing spill directory",
        &["--tables", "a", "--spill-dir", "no/such/directory"],
        &["no/such/directory", "--spill-dir"],
    ),
    (
        "an empty spill directory",
        &["--tables", "a", "--spill-dir", ""],
        &["--spill-dir"],
    ),
    (
        "a value size below the smallest",
        &["--tables", "a", "--max-value-size", "1"],
        &["--max-value-size is 1", "64KiB"],
    ),
    ("an empty list", &["--tables", ""], &["table"]),
    ("blanks for a list", &["--tables", " , "], &["table"]),
    ("a table twice", &["--tables", "a,b,a"], &["a", "twice"]),
    (
        "a table twice, spelled otherwise",
        &["--tables", "a, \"a\""],
        &["twice"],
    ),
    ("three parts", &["--tables", "a.b.c"], &["a.b.c"]),
    ("an open quote", &["--tables", "\"a"], &["quote"]),
    ("an open set", &["--tables", "a[b"], &["a[b", "`]`"]),
    (
        "a pattern of targets for one table",
        &["--tables", "a=b*"],
        &["b*"],
    ),
    (
        "one target for a pattern",
        &["--tables", "a*=b"],
        &["a*", "`b`"],
    ),
    (
        "a target of an exclusion",
        &["--tables", "a,!b=c"],
        &["b=c", "without `=`"],
    ),
    ("only an exclusion", &["--tables", "!a"], &["empty"]),
    (
        "no table but excluded ones",
        &["--tables", "a", "--exclude", "A"],
        &["excluded"],
    ),
    (
        "two sources and one target",
        &["--tables", "a=c,b=c"],
        &["a and b", "public.c"],
    ),
    (
        "no workers",
        &["--tables", "a", "--parallel", "--parallel-workers", "0"],
        &["parallel-workers", "0"],
    ),
    (
        "workers in words",
        &["--tables", "a", "--parallel-workers", "many"],
        &["parallel-workers", "many"],
    ),
    (
        "an unknown format",
        &["--tables", "a", "--format", "xml"],
        &["format", "xml", "json"],
    ),
    (
        "an unknown flag",
        &["--tables", "a", "--row-levle"],
        &["row-levle", "row-level"],
    ),
    (
        "an unknown kind of fail-fast",
        &["--tables", "a", "--fail-fast", "never"],
        &["never"],
    ),
    (
        "both ways to go on",
        &["--tables", "a", "--fail-fast", "--continue-on-error"],
        &["continue-on-error"],
    ),
    (
        "a file that is not there",
        &["--tables-file", "nowhere.txt"],
        &["nowhere.txt"],
    ),
    (
        "no time at all",
        &["--tables", "a", "--parallel-timeout", "0"],
        &["parallel-timeout"],
    ),
    (
        "both an endpoint and a url",
        &["--tables", "a", "--source-url", "postgres://u:hunter2@h/d"],
        &["source-url"],
    ),
];

/// Whole command lines.
const BAD_COMMANDS: &[BadArguments] = &[
    (
        "an unknown endpoint",
        &[
            "run",
            "--source",
            "erpp",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["erpp", "erp"],
    ),
    (
        "no source",
        &["run", "--target", "warehouse", "--tables", "a"],
        &["source"],
    ),
    (
        "a url of no database",
        &[
            "run",
            "--source-url",
            "mysql://u:hunter2@h/d",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["mssql://", "postgres://"],
    ),
    (
        "a url with a slash in its password",
        &[
            "run",
            "--source-url",
            "mssql://u:hunter2/x@h/d",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["source-url", "%2F"],
    ),
    (
        "a login of Windows",
        &[
            "run",
            "--source-url",
            "Server=h;Database=d;Integrated Security=true",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["Integrated Security", "auth"],
    ),
    (
        "a password file without a url",
        &[
            "run",
            "--source-password-file",
            "x",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["source-url"],
    ),
    (
        "a password file that is not there",
        &[
            "run",
            "--source-url",
            "postgres://u@h/d",
            "--source-password-file",
            "nowhere",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["source-password-file", "nowhere"],
    ),
    (
        "two passwords",
        &[
            "run",
            "--source-url",
            "postgres://u:hunter2@h/d",
            "--source-password-file",
            "x",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["source-password-file", "out of the URL"],
    ),
    (
        "a url for workers elsewhere",
        &[
            "run",
            "--broker",
            "amqp://x:hunter2@127.0.0.1:1/",
            "--source-url",
            "postgres://u:hunter2@h/d",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["source-url", "broker"],
    ),
    (
        "a broker that is down",
        &[
            "run",
            "--broker",
            "amqp://x:hunter2@127.0.0.1:1/",
            "--source",
            "erp",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ],
        &["127.0.0.1:1"],
    ),
    ("an unknown command", &["runn"], &["runn", "run"]),
];

#[test]
fn a_command_line_that_cannot_be_right_is_refused() {
    let here = Workplace::new(ENDPOINTS);
    let usual = ["run", "--source", "erp", "--target", "warehouse"];
    for (what, arguments, mentions) in BAD_FLAGS {
        let run = here.reconcile(&[&usual[..], arguments].concat());
        assert_refused(what, &run, mentions);
    }
    for (what, arguments, mentions) in BAD_COMMANDS {
        assert_refused(what, &here.reconcile(arguments), mentions);
    }
}

#[test]
fn a_configuration_that_cannot_be_right_is_refused() {
    let cases: &[(&str, String, &[&str])] = &[
        (
            "an unknown key",
            ENDPOINTS.replace("url = 'postgres", "ulr = 'postgres"),
            &["ulr", "url", "reconcile.toml"],
        ),
        (
            "an unknown section",
            format!("{ENDPOINTS}\n[brokr]\nurl = 'amqp://h/'\n"),
            &["brokr", "broker"],
        ),
        (
            "an unknown key of a run",
            format!("{ENDPOINTS}\n[run]\nrow_levle = true\n"),
            &["row_levle", "row_level"],
        ),
        (
            "a rule without a condition",
            format!("{ENDPOINTS}\n[[rules]]\ntrim = 'end'\n"),
            &["rules[1]", "columns", "type"],
        ),
        (
            "an exclusion where a table is expected",
            format!("{ENDPOINTS}\n[[tables]]\nsource = '!a'\n"),
            &["tables[1].source", "`!a`", "--tables"],
        ),
        (
            "a target for several tables",
            format!("{ENDPOINTS}\n[[tables]]\nsource = 'a*'\ntarget = 'b'\n"),
            &["tables[1]", "target", "`b`"],
        ),
        (
            "no toml at all",
            "[endpoints".to_owned(),
            &["reconcile.toml"],
        ),
        (
            "a wrong type",
            format!("{ENDPOINTS}\n[run]\nrow_level = 'yes'\n"),
            &["row_level"],
        ),
        (
            "a password file that is not there",
            "[endpoints.erp]\nurl = 'postgres://u@h/d'\npassword_file = 'nowhere'\n".to_owned(),
            &["nowhere"],
        ),
    ];
    for (what, configuration, mentions) in cases {
        let here = Workplace::new(configuration);
        let run = here.reconcile(&[
            "run",
            "--source",
            "erp",
            "--target",
            "warehouse",
            "--tables",
            "a",
        ]);
        assert_refused(what, &run, mentions);
    }
    let here = Workplace::new("");
    let run = here.reconcile(&[
        "run",
        "--config",
        "other.toml",
        "--source",
        "a",
        "--target",
        "b",
        "--tables",
        "a",
    ]);
    assert_refused("a configuration that is not there", &run, &["other.toml"]);
}

#[test]
fn a_worker_refuses_what_cannot_be_right() {
    let here = Workplace::new(ENDPOINTS);
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("no broker", &[], &["broker"]),
        (
            "a broker that is down",
            &["--broker", "amqp://x:hunter2@127.0.0.1:1/"],
            &["127.0.0.1:1"],
        ),
        (
            "no concurrency",
            &["--broker", "amqp://127.0.0.1:1/", "--concurrency", "0"],
            &["concurrency"],
        ),
        ("no url", &["--broker", "rabbit"], &["rabbit"]),
    ];
    for (what, arguments, mentions) in cases {
        let run = tests::product::finish(&mut here.command("reconcile-worker", arguments));
        assert_refused(what, &run, mentions);
    }
    let here = Workplace::new(&ENDPOINTS.replace("url", "ulr"));
    let run = tests::product::finish(
        &mut here.command("reconcile-worker", &["--broker", "amqp://127.0.0.1:1/"]),
    );
    assert_refused("an unknown key", &run, &["ulr", "url"]);
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let here = Workplace::new(ENDPOINTS);
    let run = here.reconcile(&["config"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.contains("erp") && run.stdout.contains("127.0.0.1"),
        "{run:?}"
    );
    assert!(
        !run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"),
        "{run:?}"
    );
}

//! A random walk over comparing, repairing, undoing, killing and changing rows, on tables of all
//! shapes. After every step the target holds what it may hold.
//!
//! `WALK_STEPS` and `WALK_SEED` ask for another walk than the usual one.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value as Json, json};
use tests::product::Run;
use tests::repair::Kind::{Postgres, SqlServer};
use tests::repair::{Kind, Scene, schema};
use tests::walk::{SHAPES, Shape, State, create_constraints, create_tables};

/// Steps of each walk, if `WALK_STEPS` names no other number.
const STEPS: u32 = 40;

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const VALUES: [&str; 6] = ["x", "y", "", "it's", "two\nGO\nlines", "end "];

/// Scripts that were generated, and what they were generated from.
struct Scripts {
    directory: PathBuf,
    source: State,
    target: State,
    applied: Option<Applied>,
}

/// The target around the application of scripts, once or several times.
struct Applied {
    before: State,
    after: State,
    /// Whether nothing else has changed the target between two of them.
    is_undisturbed: bool,
}

struct Walk {
    scene: Scene,
    kind: Kind,
    rng: Rng,
    scripts: Option<Scripts>,
    /// Names of directories are not used twice.
    directories: u32,
    /// What happened so far, for messages.
    log: Vec<String>,
    runtime: tokio::runtime::Runtime,
}

impl Walk {
    fn new(kind: Kind, seed: u64) -> Self {
        let scene = Scene::with(
            (Postgres, &create_tables(Postgres, false)),
            (kind, &create_tables(kind, true)),
            "max_differences = 1000\n",
        );
        for (side, kind, is_target) in [
            (&scene.source, Postgres, false),
            (&scene.target, kind, true),
        ] {
            let constraints = create_constraints(kind, is_target);
            side.database.execute(&constraints).unwrap();
        }
        let mut walk = Self {
            scene,
            kind,
            rng: Rng::with_seed(seed),
            scripts: None,
            directories: 0,
            log: Vec::new(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        };
        for _ in 0..30 {
            walk.change_rows();
        }
        walk
    }

    fn state(&self, is_target: bool) -> State {
        let (side, kind) = if is_target {
            (&self.scene.target, self.kind)
        } else {
            (&self.scene.source, Postgres)
        };
        self.runtime.block_on(async {
            let client = side.database.connect().await.unwrap();
            State::read(&client, schema(kind), is_target).await
        })
    }

    /// Panics with the last steps before.
    fn fail(&self, why: &str) -> ! {
        let first = self.log.len().saturating_sub(40);
        panic!("{why}\nafter:\n  {}", self.log[first..].join("\n  "))
    }

    fn note(&mut self, step: impl Into<String>) {
        self.log.push(step.into());
    }

    /// Changes up to four rows of either side. What constraints refuse is left.
    fn change_rows(&mut self) {
        let mut statements = Vec::new();
        for _ in 0..self.rng.u8(1..=4) {
            let shape = &SHAPES[self.rng.usize(..SHAPES.len())];
            let both = self.rng.u8(..3) == 0;
            let is_target = self.rng.bool();
            for target in [false, true] {
                if both || target == is_target {
                    statements.push((target, shape));
                }
            }
            let seed = self.rng.u64(..);
            for (target, shape) in statements.drain(..) {
                let (side, kind) = match target {
                    true => (&self.scene.target, self.kind),
                    false => (&self.scene.source, Postgres),
                };
                let sql = change(shape, schema(kind), target, &mut Rng::with_seed(seed));
                let outcome = match side.database.execute(&sql) {
                    Ok(()) => "",
                    Err(_) => " (refused)",
                };
                self.log.push(format!(
                    "{} {sql:?}{outcome}",
                    if target { "target" } else { "source" }
                ));
            }
        }
    }

    fn tables(&self) -> String {
        let names: Vec<&str> = SHAPES.iter().map(|shape| shape.name).collect();
        names.join(",")
    }

    /// Runs a command of the product that must leave the target as it is.
    fn harmless(&mut self, arguments: &[&str], codes: &[i32]) -> Run {
        self.note(arguments.join(" "));
        let before = self.state(true);
        let run = self.scene.here.reconcile(arguments);
        if !codes.contains(&run.code) {
            self.fail(&format!("exit code {}: {run:?}", run.code));
        }
        if self.state(true) != before {
            self.fail(&format!("the target changed: {run:?}"));
        }
        run
    }

    fn compare(&mut self) {
        let tables = self.tables();
        let run = ["run", "--format", "json", "--tables", &tables];
        self.harmless(&run, &[0, 1]);
    }

    fn generate(&mut self) {
        let tables = self.tables();
        let directory = format!("out{}", self.rng.u8(..2));
        let mut run = vec![
            "run",
            "--format",
            "json",
            "--tables",
            &tables,
            "--generate-repair",
            "--output-dir",
            &directory,
        ];
        if self.rng.bool() {
            run.push("--repair-keyless");
        }
        let (source, target) = (self.state(false), self.state(true));
        let report = self.harmless(&run, &[0, 1]).report();
        let run = report["run_id"].as_str().unwrap();
        let directory = self.scene.here.path().join(directory).join(run);
        self.scripts = directory.exists().then_some(Scripts {
            directory,
            source,
            target,
            applied: None,
        });
    }

    /// Moves the scripts elsewhere.
    fn change_directory(&mut self) {
        if let Some(scripts) = &mut self.scripts {
            self.directories += 1;
            let to = self
                .scene
                .here
                .path()
                .join(format!("moved{}", self.directories));
            std::fs::rename(&scripts.directory, &to).unwrap();
            self.log
                .push(format!("moved the scripts to {}", to.display()));
            scripts.directory = to;
        }
    }

    fn dry_run(&mut self) {
        if let Some(scripts) = &self.scripts {
            let directory = scripts.directory.display().to_string();
            self.harmless(&["apply", &directory, "--dry-run", "--again"], &[0, 1]);
        }
    }

    fn apply(&mut self) {
        let Some(mut scripts) = self.scripts.take() else {
            return;
        };
        let directory = scripts.directory.display().to_string();
        if scripts.applied.is_some() && self.rng.bool() {
            let again = ["apply", &directory, "--yes", "--format", "json"];
            let run = self.harmless(&again, &[0, 2]);
            // Only scripts that do not exist can be applied twice.
            let is_empty = || json(&run).is_some_and(|said| said["tables"] == json!([]));
            if !run.stderr.contains("--again") && !is_empty() {
                self.fail(&format!("{run:?}"));
            }
            self.scripts = Some(scripts);
            return;
        }
        let before = self.state(true);
        let apply = ["apply", &directory, "--yes", "--again", "--format", "json"];
        self.note(apply.join(" "));
        let run = self.scene.here.reconcile(&apply);
        let after = self.state(true);
        match run.code {
            0 | 1 => {}
            // A constraint may refuse what was generated before other changes.
            3 if before == after => {
                self.note(format!("refused: {}", run.stderr));
                self.scripts = Some(scripts);
                return;
            }
            _ => self.fail(&format!("{run:?}")),
        }
        let changed = before
            .check_repair(&after, &scripts.source, &scripts.target)
            .unwrap_or_else(|why| self.fail(&format!("{why}: {run:?}")));
        let Some(said) = json(&run) else {
            self.fail(&format!("{run:?}"));
        };
        for table in said["tables"].as_array().unwrap() {
            let name = table["table"].as_str().unwrap();
            let (_, name) = name.rsplit_once('.').unwrap();
            let applied = total(&table["applied"]);
            if applied != changed[name] {
                let seen = changed[name];
                self.fail(&format!("{name}: {seen} rows changed: {run:?}"));
            }
        }
        let applied = match scripts.applied.take() {
            Some(first) => Applied {
                is_undisturbed: first.is_undisturbed && first.after == before,
                before: first.before,
                after,
            },
            None => Applied {
                before,
                after,
                is_undisturbed: true,
            },
        };
        scripts.applied = Some(applied);
        self.scripts = Some(scripts);
    }

    fn undo(&mut self) {
        let Some(mut scripts) = self.scripts.take() else {
            return;
        };
        let Some(applied) = scripts.applied.take() else {
            self.scripts = Some(scripts);
            return;
        };
        let directory = scripts.directory.display().to_string();
        let before = self.state(true);
        let undo = ["apply", &directory, "--undo", "--yes", "--format", "json"];
        self.note(undo.join(" "));
        let run = self.scene.here.reconcile(&undo);
        let after = self.state(true);
        let is_undisturbed = applied.is_undisturbed && before == applied.after;
        if is_undisturbed && (run.code != 0 || after != applied.before) {
            self.fail(&format!("the undo did not restore the rows: {run:?}"));
        }
        if !matches!(run.code, 0 | 1) && before != after {
            self.fail(&format!("{run:?}"));
        }
        if let Err(why) = before.check_repair(&after, &scripts.target, &scripts.source) {
            self.fail(&format!("{why}: {run:?}"));
        }
    }

    /// Kills `apply` at a random moment. The transaction took effect or not; the scripts are
    /// not used again.
    fn kill(&mut self) {
        let Some(scripts) = self.scripts.take() else {
            return;
        };
        let directory = scripts.directory.display().to_string();
        let before = self.state(true);
        let delay = Duration::from_millis(self.rng.u64(..400));
        self.note(format!("apply {directory}, killed after {delay:?}"));
        let mut process = self
            .scene
            .here
            .start(&["apply", &directory, "--yes", "--again"]);
        // It may have ended before.
        drop(process.wait(delay));
        process.kill();
        self.wait_for_sessions();
        let after = self.state(true);
        if let Err(why) = before.check_repair(&after, &scripts.source, &scripts.target) {
            self.fail(&why);
        }
    }

    /// Waits until the sessions of a killed process have ended.
    fn wait_for_sessions(&self) {
        const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND pid <> pg_backend_pid() AND state <> 'idle' AND backend_type = 'client backend'";
        let start = Instant::now();
        self.runtime.block_on(async {
            let client = self.scene.target.database.connect().await.unwrap();
            loop {
                let busy: i64 = client.query_one(SESSIONS, &[]).await.unwrap().get(0);
                if busy == 0 {
                    return;
                }
                assert!(start.elapsed() < Duration::from_secs(30), "{busy} sessions");
            }
        });
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..25 => self.change_rows(),
            25..33 => self.compare(),
            33..53 => self.generate(),
            53..59 => self.dry_run(),
            59..79 => self.apply(),
            79..92 => self.undo(),
            92..96 => self.kill(),
            _ => self.change_directory(),
        }
    }
}

/// The JSON on standard output.
fn json(run: &Run) -> Option<Json> {
    serde_json::from_str(&run.stdout).ok()
}

fn total(counts: &Json) -> u64 {
    let counts = counts.as_object().unwrap();
    counts.values().map(|count| count.as_u64().unwrap()).sum()
}

/// A statement that changes one row of a table.
fn change(shape: &Shape, schema: &str, is_target: bool, rng: &mut Rng) -> String {
    let table = format!("{schema}.{}", shape.name);
    let value = |column: &str, rng: &mut Rng| -> String {
        match column {
            "id" | "x" => rng.u8(1..10).to_string(),
            "parent" if rng.bool() => "NULL".to_owned(),
            "parent" => rng.u8(1..10).to_string(),
            "y" | "email" => format!("'{}'", NAMES[rng.usize(..NAMES.len())]),
            _ if rng.u8(..5) == 0 => "NULL".to_owned(),
            _ => format!(
                "'{}'",
                VALUES[rng.usize(..VALUES.len())].replace('\'', "''")
            ),
        }
    };
    let which = match shape.key.len() {
        0 => "ctid IN (SELECT ctid FROM {table} ORDER BY v, w LIMIT 1)".replace("{table}", &table),
        _ => {
            let terms = shape
                .key
                .iter()
                .map(|column| format!("{column} = {}", value(column, rng)));
            terms.collect::<Vec<_>>().join(" AND ")
        }
    };
    let changed = shape.values[rng.usize(..shape.values.len())];
    match rng.u8(..6) {
        0 => format!("DELETE FROM {table} WHERE {which}"),
        1 | 2 => format!(
            "UPDATE {table} SET {changed} = {} WHERE {which}",
            value(changed, rng)
        ),
        _ => {
            let mut columns: Vec<&str> = shape.key.iter().chain(shape.values).copied().collect();
            let mut values: Vec<String> = columns.iter().map(|column| value(column, rng)).collect();
            if is_target && shape.target_only.contains(&"note") && rng.bool() {
                columns.push("note");
                values.push("'kept'".to_owned());
            }
            format!(
                "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
                columns.join(", "),
                values.join(", ")
            )
        }
    }
}

fn walk(kind: Kind) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seed = number("WALK_SEED").unwrap_or(11);
    let mut walk = Walk::new(kind, seed);
    for at in 0..number("WALK_STEPS").unwrap_or(STEPS.into()) {
        walk.note(format!("step {at}, seed {seed}"));
        walk.step();
    }
}

#[test]
fn on_postgresql_a_walk_harms_no_row() {
    walk(Postgres);
}

#[test]
fn on_sql_server_a_walk_harms_no_row() {
    walk(SqlServer);
}

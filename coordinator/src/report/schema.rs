//! `docs/report.schema.json`: the structure of a JSON report, generated from its types.

use std::path::Path;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::model::RunReport;

pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = settings
        .into_generator()
        .into_root_schema_for::<RunReport>();
    // What the document is comes first.
    let mut ordered = Map::new();
    let dialect = schema.get("$schema").cloned().unwrap_or_default();
    ordered.insert("$schema".to_owned(), dialect);
    ordered.insert("title".to_owned(), "Report of reconcile".into());
    if let Value::Object(rest) = schema.into() {
        for (key, value) in rest {
            ordered.entry(key).or_insert(value);
        }
    }
    Value::Object(ordered)
}

#[test]
fn the_schema_in_the_documents_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.schema.json");
    let expected = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/report.schema.json is out of date: UPDATE_DOCS=1 cargo test -p coordinator --lib schema"
    );
}

//! The operators' documents: every alert has its section, every link leads somewhere.

use serde_json::Value as Json;

use crate::{documents_of, files, path, read};

/// The anchor that a heading gets on the usual sites.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a document.
fn anchors(markdown: &str) -> Vec<String> {
    let mut inside = false;
    let mut anchors = Vec::new();
    for line in markdown.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside && line.starts_with('#') {
            anchors.push(anchor(line.trim_start_matches('#')));
        }
    }
    anchors
}

#[test]
fn every_alert_has_a_page_that_says_what_to_do() {
    let rules = documents_of("deploy/prometheus/rules.yml").remove(0);
    let groups = rules["groups"].as_array().unwrap().iter();
    let alerts: Vec<&Json> = groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .filter(|rule| rule["alert"].is_string())
        .collect();
    assert!(alerts.len() >= 8, "{alerts:?}");
    let page = read("docs/operations.md");
    let headings: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    for rule in alerts {
        let alert = rule["alert"].as_str().unwrap();
        assert!(headings.contains(&alert), "no section {alert}");
        let url = rule["annotations"]["runbook_url"]
            .as_str()
            .unwrap_or_else(|| panic!("{alert} has no runbook_url"));
        let (file, to) = url
            .rsplit_once('#')
            .unwrap_or_else(|| panic!("{alert}: {url}"));
        assert!(file.ends_with("docs/operations.md"), "{alert}: {url}");
        assert_eq!(to, anchor(alert), "{alert}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut documents = files("docs", ".md");
    documents.extend(["README.md", "ARCHITECTURE.md"].map(str::to_owned));
    let mut links = 0;
    for document in documents {
        let text = read(&document);
        let directory = document
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, to) = link.split_once('#').unwrap_or((link, ""));
            let target = match (file, directory) {
                ("", _) => document.clone(),
                (file, "") => file.to_owned(),
                (file, directory) => format!("{directory}/{file}"),
            };
            assert!(path(&target).exists(), "{document}: {link}");
            if !to.is_empty() {
                let found = anchors(&read(&target)).iter().any(|anchor| anchor == to);
                assert!(found, "{document}: {link}");
            }
            links += 1;
        }
    }
    assert!(links > 5, "{links} links");
}

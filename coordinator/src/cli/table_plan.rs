//! The tables of a run, from the list and the catalogs, and what the list leaves out.

use std::collections::{BTreeMap, BTreeSet};

use shared::config::nearest;
use shared::ids::TableName;
use shared::naming::shared_forms;
use shared::pattern::{TablePattern, TableSelector, TargetPattern};
use worker::engine::CatalogTable;

use super::catalog_names::CatalogNames;
use super::left_out::{LeftOut, Reason};
use super::selection::{Catalogs, Names, TableSelection};
use super::table_list::{Entry, TableListError, cut_hint, implied_target};
use super::table_options::check_repair;
use super::target_only::{TargetScope, target_only_tables};
use super::usage::UsageError;
use crate::run_state::{PlannedTable, TableScope, are_parts};

/// The tables of a run, and what it leaves out.
#[derive(Debug)]
pub(super) struct SelectedTables {
    pub(super) tables: Vec<PlannedTable>,
    pub(super) scope: TableScope,
}

/// Schema and name of a table, as far as they are known.
type Identity = (Option<String>, String);

/// The tables that one pattern selects.
struct Expanded {
    tables: Vec<PlannedTable>,
    /// How many tables match it, selected or not.
    matched: usize,
    /// How many of them are left out as views, and as tables of the system.
    views: usize,
    system: usize,
}

impl TableSelection {
    /// The tables of the run.
    ///
    /// # Errors
    ///
    /// When a table is listed twice, two tables have one target, a pattern matches no table, or
    /// the options of a table contradict each other.
    pub(super) fn plan(&self, catalogs: &Catalogs) -> Result<SelectedTables, UsageError> {
        let names = self.names(catalogs);
        let mut left_out = LeftOut::default();
        let mut named = self.named(&names, &mut left_out)?.into_iter();
        let listed: BTreeSet<Identity> = named
            .clone()
            .flatten()
            .map(|planned| self.source_identity(&planned.spec.source.table, &names))
            .collect();
        let mut tables = Vec::new();
        for entry in &self.entries {
            match entry {
                Entry::Exclusion(_) => {}
                Entry::Table { .. } => tables.extend(named.next().flatten()),
                Entry::Pattern { source, target } => {
                    let expanded =
                        self.expand(source, target.as_ref(), &names, &listed, &mut left_out)?;
                    let catalog = catalogs.source.as_deref().unwrap_or_default();
                    self.check_pattern(source, &expanded, catalog)?;
                    tables.extend(expanded.tables);
                }
            }
        }
        if tables.is_empty() {
            return Err(TableListError::AllExcluded.into());
        }
        self.check_targets(&tables, &names)?;
        for planned in &tables {
            self.check_filters(&planned.spec)?;
            check_repair(&planned.spec)?;
        }
        let scope = self.scope(&tables, &names, &left_out);
        Ok(SelectedTables { tables, scope })
    }

    /// The tables that are listed by name, in the order of the list; absent where excluded.
    fn named(
        &self,
        names: &Names<'_>,
        left_out: &mut LeftOut,
    ) -> Result<Vec<Option<PlannedTable>>, UsageError> {
        let mut listed: BTreeMap<_, TableName> = BTreeMap::new();
        let mut named = Vec::new();
        for entry in &self.entries {
            let Entry::Table { source, target } = entry else {
                continue;
            };
            if self.is_excluded(source, names) {
                let (schema, name) = self.source_identity(source, names);
                left_out.add(Reason::Excluded, schema.as_deref(), &name);
                named.push(None);
                continue;
            }
            let planned = self.planned(source, target.as_slice(), names)?;
            let target = &planned.spec.target.table;
            let of_target = self.target_identity(target, names);
            let of_source = self.source_identity(source, names);
            let other = listed.insert((of_source, of_target.clone()), target.clone());
            if let Some(other) = other {
                return Err(twice(source, &other, target, of_target).into());
            }
            named.push(Some(planned));
        }
        Ok(named)
    }

    /// The tables that a pattern selects, by schema and name: not those that are listed by name,
    /// those of a more specific pattern, and what is left out.
    fn expand(
        &self,
        pattern: &TablePattern,
        target: Option<&TargetPattern>,
        names: &Names<'_>,
        listed: &BTreeSet<Identity>,
        left_out: &mut LeftOut,
    ) -> Result<Expanded, UsageError> {
        let catalog = names.source.as_ref().map_or(&[][..], CatalogNames::tables);
        let mut found: Vec<&CatalogTable> = catalog.iter().collect();
        found.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        let mut expanded = Expanded {
            tables: Vec::new(),
            matched: 0,
            views: 0,
            system: 0,
        };
        for table in found {
            let is_default = self.settings.is_default(&table.schema);
            let Some(matched) = pattern.find(&table.schema, &table.name, is_default) else {
                continue;
            };
            expanded.matched += 1;
            let whole = TableName {
                schema: Some(table.schema.clone()),
                name: table.name.clone(),
            };
            if listed.contains(&(whole.schema.clone(), whole.name.clone())) {
                continue;
            }
            if let Some(reason) = self.reason_to_leave_out(table, &whole, names) {
                match reason {
                    Reason::View => expanded.views += 1,
                    Reason::System => expanded.system += 1,
                    Reason::Excluded => {}
                }
                left_out.add(reason, Some(&table.schema), &table.name);
                continue;
            }
            if self.is_of_other_pattern(pattern, table) {
                continue;
            }
            let source = TableName {
                schema: whole.schema.filter(|_| pattern.schema.is_some()),
                name: whole.name,
            };
            let star = matched.star.unwrap_or_default();
            let targets = target.map_or_else(Vec::new, |to| to.names(star, &table.name));
            let mut planned = self.planned(&source, &targets, names)?;
            planned.estimated_rows = table.estimated_rows;
            expanded.tables.push(planned);
        }
        Ok(expanded)
    }

    fn reason_to_leave_out(
        &self,
        table: &CatalogTable,
        name: &TableName,
        names: &Names<'_>,
    ) -> Option<Reason> {
        if self.is_excluded(name, names) {
            Some(Reason::Excluded)
        } else if table.is_system {
            Some(Reason::System)
        } else if table.is_view && !self.include_views {
            Some(Reason::View)
        } else {
            None
        }
    }

    fn is_excluded(&self, source: &TableName, names: &Names<'_>) -> bool {
        let mut exclusions = self.exclusions.iter();
        exclusions.any(|it| self.settings.selects(it, source, names.source.as_ref()))
    }

    /// Whether another pattern of the list matches a table and is more specific: it has more
    /// literal characters, or as many and is listed first.
    fn is_of_other_pattern(&self, pattern: &TablePattern, table: &CatalogTable) -> bool {
        let is_default = self.settings.is_default(&table.schema);
        let patterns = self.entries.iter().filter_map(|entry| match entry {
            Entry::Pattern { source, .. } => Some(source),
            Entry::Table { .. } | Entry::Exclusion(_) => None,
        });
        let matching =
            patterns.filter(|it| it.find(&table.schema, &table.name, is_default).is_some());
        // Of equal keys `max_by_key` returns the last.
        let best = matching.rev().max_by_key(|it| it.literal_length());
        best.is_some_and(|best| !std::ptr::eq(best, pattern))
    }

    /// Refuses a pattern that matches nothing, or nothing but what patterns leave out.
    fn check_pattern(
        &self,
        pattern: &TablePattern,
        expanded: &Expanded,
        catalog: &[CatalogTable],
    ) -> Result<(), TableListError> {
        let Expanded {
            matched,
            views,
            system,
            ..
        } = expanded;
        if *matched == 0 {
            let whole: Vec<String> = catalog
                .iter()
                .map(|table| format!("{}.{}", table.schema, table.name))
                .collect();
            let text = pattern.to_string();
            let literal = text.replace(['*', '?', '[', ']', '"'], "");
            let wanted = match &pattern.schema {
                Some(_) => literal,
                None => format!("{}.{literal}", self.settings.source_schema),
            };
            return Err(TableListError::NoMatch {
                nearest: nearest(&wanted, whole.iter().map(String::as_str)).map(str::to_owned),
                pattern: text,
                tables: catalog.len(),
                endpoint: self.source.name.clone(),
                schema: self.settings.source_schema.clone(),
            });
        }
        if *matched == views + system {
            let left_out = match (views, system) {
                (views, 0) => format!("views ({views}), which --include-views selects"),
                (0, system) => format!("tables of the system ({system})"),
                (views, system) => format!("views ({views}) and tables of the system ({system})"),
            };
            return Err(TableListError::OnlyLeftOut {
                pattern: pattern.to_string(),
                left_out,
            });
        }
        Ok(())
    }

    /// Refuses two sources with one target, unless each is compared with its own part of it.
    fn check_targets(&self, tables: &[PlannedTable], names: &Names<'_>) -> Result<(), UsageError> {
        let mut by_target: BTreeMap<Identity, Vec<&PlannedTable>> = BTreeMap::new();
        for planned in tables {
            let target = self.target_identity(&planned.spec.target.table, names);
            let same = by_target.entry(target.clone()).or_default();
            if let Some(other) = same.iter().find(|it| !are_parts(&it.spec, &planned.spec)) {
                return Err(UsageError::SharedTarget {
                    one: other.spec.source.table.to_string(),
                    other: planned.spec.source.table.to_string(),
                    hint: cut_hint([&other.spec.target.table, &planned.spec.target.table]),
                    target: whole(target),
                });
            }
            same.push(planned);
        }
        Ok(())
    }

    /// Whether tables that are listed by name may have one target, which its catalog decides.
    pub(super) fn may_share_target(&self) -> Result<bool, UsageError> {
        let catalogs = Catalogs::default();
        let names = self.names(&catalogs);
        let named = self.named(&names, &mut LeftOut::default())?;
        let mut known: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        let named: Vec<PlannedTable> = named.into_iter().flatten().collect();
        for (at, planned) in named.iter().enumerate() {
            let (schema, name) = self.target_identity(&planned.spec.target.table, &names);
            let schema = schema.unwrap_or_default().to_lowercase();
            for form in shared_forms(&name) {
                let same = known.entry((schema.clone(), form)).or_default();
                let others = same.iter().filter(|&&other| other != at);
                if others
                    .into_iter()
                    .any(|&other| !are_parts(&named[other].spec, &planned.spec))
                {
                    return Ok(true);
                }
                same.push(at);
            }
        }
        Ok(false)
    }

    fn scope(&self, tables: &[PlannedTable], names: &Names<'_>, left_out: &LeftOut) -> TableScope {
        let has_pattern = self.first_pattern().is_some();
        let target_only_tables = target_only_tables(self, tables, names);
        let mut notes = left_out.notes();
        notes.extend(self.unused_exclusions(names));
        if has_pattern && names.target.is_none() {
            notes.push(
                "the target's catalog was not read, so tables that only the target has are not listed"
                    .to_owned(),
            );
        }
        if self.strict_tables && !has_pattern {
            notes.push(
                "--strict-tables has no effect on this list: no pattern selects its tables"
                    .to_owned(),
            );
        }
        if !target_only_tables.is_empty() {
            let count = match target_only_tables.len() {
                1 => "1 table".to_owned(),
                count => format!("{count} tables"),
            };
            let meaning = if self.strict_tables {
                "a difference, by --strict-tables"
            } else {
                "--strict-tables counts that as a difference"
            };
            notes.push(format!(
                "{count} only in the target: {}; {meaning}",
                target_only_tables.join(", ")
            ));
        }
        TableScope {
            target_only_tables,
            strict: self.strict_tables,
            notes,
        }
    }

    /// Exclusions that leave nothing out are probably mistyped.
    fn unused_exclusions(&self, names: &Names<'_>) -> Vec<String> {
        let mut sources: Vec<TableName> = self
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Table { source, .. } => Some(source.clone()),
                Entry::Pattern { .. } | Entry::Exclusion(_) => None,
            })
            .collect();
        let catalog = names.source.as_ref().map_or(&[][..], CatalogNames::tables);
        sources.extend(catalog.iter().map(|table| TableName {
            schema: Some(table.schema.clone()),
            name: table.name.clone(),
        }));
        let is_unused = |excluded: &&TableSelector| {
            let mut sources = sources.iter();
            let of_source = |source: &TableName| {
                let names = names.source.as_ref();
                self.settings.selects(excluded, source, names)
            };
            let in_target = names.target.as_ref().map_or(&[][..], CatalogNames::tables);
            let mut in_target = in_target.iter();
            !sources.any(of_source)
                && !in_target.any(|table| TargetScope::new(self).is_excluded_by(excluded, table))
        };
        let unused = self.exclusions.iter().filter(is_unused);
        unused
            .map(|excluded| format!("the exclusion `{excluded}` matches no table of the list"))
            .collect()
    }

    fn source_identity(&self, table: &TableName, names: &Names<'_>) -> Identity {
        let schema = self.source.endpoint.as_ref().map(|it| it.schema.as_str());
        identity(table, names.source.as_ref(), schema)
    }

    pub(super) fn target_identity(&self, table: &TableName, names: &Names<'_>) -> Identity {
        let schema = self.target.endpoint.as_ref().map(|it| it.schema.as_str());
        identity(table, names.target.as_ref(), schema)
    }

    /// The target of a table that is listed without one and has no entry.
    pub(super) fn implied(&self, source: &TableName) -> TableName {
        implied_target(source, &self.settings.source_schema)
    }
}

/// The error for a table that is listed twice with one target.
fn twice(
    source: &TableName,
    one: &TableName,
    other: &TableName,
    target: Identity,
) -> TableListError {
    if one.name.to_lowercase() == other.name.to_lowercase() {
        return TableListError::Twice(source.to_string());
    }
    TableListError::OneTarget {
        source_table: source.to_string(),
        hint: cut_hint([one, other]),
        one: one.to_string(),
        other: other.to_string(),
        target: whole(target),
    }
}

fn whole((schema, name): Identity) -> String {
    match schema {
        Some(schema) => format!("{schema}.{name}"),
        None => name,
    }
}

fn identity(
    table: &TableName,
    names: Option<&CatalogNames<'_>>,
    default_schema: Option<&str>,
) -> Identity {
    match names {
        Some(names) => {
            let (schema, name) = names.resolve(table);
            (Some(schema), name)
        }
        None => (
            table
                .schema
                .clone()
                .or_else(|| default_schema.map(str::to_owned)),
            table.name.clone(),
        ),
    }
}

#[cfg(test)]
mod tests {
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
            let selected = settings.tables.plan(&catalogs).unwrap();
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
}

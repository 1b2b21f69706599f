//! CREATE, ALTER and DROP.

use sqlparser::ast::{
    AlterTable, AlterTableOperation, ColumnDef, ColumnOption, CreateIndex, CreateTable, CreateView,
    Expr, ForeignKeyConstraint, Ident, IdentityPropertyFormatKind, IdentityPropertyKind,
    IndexColumn, ObjectName, ObjectType, SchemaName, TableConstraint,
};

use super::{Fault, Plan, Scope, Translator, idents, qualified, same_name};
use crate::catalog::{Column, Table, declaration};
use crate::collation::Collation;
use crate::error::SqlError;
use crate::sqltype::SqlType;
use crate::text;

/// A column of CREATE TABLE: how it is made underneath, and what it is called.
struct Defined {
    sql: String,
    column: Column,
    primary_key: bool,
    unique: bool,
}

impl Translator {
    pub(super) fn create_table(&self, create: &CreateTable) -> Result<Plan, Fault> {
        if create.query.is_some() || create.temporary || create.if_not_exists {
            return Err(SqlError::unsupported(
                "CREATE TABLE with a query, TEMPORARY or IF NOT EXISTS",
            )
            .into());
        }
        let name = self.table_ref(&create.name)?;
        let table = qualified(&name.schema, &name.name);
        let mut keys: Vec<(bool, Vec<String>)> = Vec::new();
        let mut references = Vec::new();
        for constraint in &create.constraints {
            match constraint {
                TableConstraint::PrimaryKey(key) => keys.push((true, index_columns(&key.columns)?)),
                TableConstraint::Unique(key) => keys.push((false, index_columns(&key.columns)?)),
                TableConstraint::ForeignKey(key) => references.push(key),
                other => return Err(SqlError::unsupported(other).into()),
            }
        }
        let mut defined: Vec<Defined> = Vec::new();
        for column in &create.columns {
            let known = Table {
                schema: name.schema.clone(),
                name: name.name.clone(),
                columns: defined
                    .iter()
                    .map(|defined| defined.column.clone())
                    .collect(),
            };
            defined.push(self.column(column, &known)?);
        }
        for Defined {
            column,
            primary_key,
            unique,
            ..
        } in &defined
        {
            if *primary_key {
                keys.push((true, vec![column.name.clone()]));
            }
            if *unique {
                keys.push((false, vec![column.name.clone()]));
            }
        }
        let mut parts: Vec<String> = defined.iter().map(|defined| defined.sql.clone()).collect();
        for (primary, columns) in &keys {
            // A key's columns are found by any case, as all names are.
            let mut list = Vec::new();
            for written in columns {
                let found = defined
                    .iter()
                    .find(|defined| same_name(&defined.column.name, written))
                    .ok_or_else(|| SqlError::no_column(written))?;
                list.push(text::quoted(&found.column.name));
            }
            parts.push(format!(
                "{} ({})",
                if *primary { "PRIMARY KEY" } else { "UNIQUE" },
                list.join(", ")
            ));
        }
        for key in references {
            parts.push(self.foreign_key(key)?);
        }
        let mut sql = format!("CREATE TABLE {table} ({})", parts.join(", "));
        for Defined { column, .. } in &defined {
            sql.push_str(&comment(&table, column));
        }
        Ok(Plan::Define(sql))
    }

    /// A foreign key, whose columns are called as they are written.
    fn foreign_key(&self, key: &ForeignKeyConstraint) -> Result<String, Fault> {
        let list = |columns: &[Ident]| {
            let names: Vec<String> = columns
                .iter()
                .map(|name| text::quoted(&name.value))
                .collect();
            names.join(", ")
        };
        let parent = self.table_ref(&key.foreign_table)?;
        let name = key
            .name
            .as_ref()
            .map(|name| format!("CONSTRAINT {} ", text::quoted(&name.value)))
            .unwrap_or_default();
        let referred = if key.referred_columns.is_empty() {
            String::new()
        } else {
            format!(" ({})", list(&key.referred_columns))
        };
        let action = key
            .on_delete
            .as_ref()
            .map(|action| format!(" ON DELETE {action}"))
            .unwrap_or_default();
        Ok(format!(
            "{name}FOREIGN KEY ({}) REFERENCES {}{referred}{action}",
            list(&key.columns),
            qualified(&parent.schema, &parent.name)
        ))
    }

    /// One column; `known` has those before it, which a computed one may name.
    fn column(&self, definition: &ColumnDef, known: &Table) -> Result<Defined, Fault> {
        let mut column = Column {
            name: definition.name.value.clone(),
            sql_type: SqlType::parse(&definition.data_type.to_string())?,
            collation: Collation::default(),
            nullable: true,
            identity: false,
            computed: false,
        };
        let (mut extra, mut primary_key, mut unique) = (String::new(), false, false);
        for option in &definition.options {
            match &option.option {
                ColumnOption::Null => {}
                ColumnOption::NotNull => column.nullable = false,
                ColumnOption::PrimaryKey(_) => {
                    primary_key = true;
                    column.nullable = false;
                }
                ColumnOption::Unique(_) => unique = true,
                ColumnOption::Collation(name) => {
                    column.collation = Collation::named(&name.to_string())
                }
                ColumnOption::Default(value) => {
                    let value = super::convert::assign(
                        self.expression(value, &Scope::default())?,
                        &column,
                    )?;
                    extra.push_str(&format!(" DEFAULT {value}"));
                }
                ColumnOption::Identity(IdentityPropertyKind::Identity(property)) => {
                    column.identity = true;
                    column.nullable = false;
                    let (seed, step) = match &property.parameters {
                        Some(IdentityPropertyFormatKind::FunctionCall(parameters)) => (
                            super::expression::number(&parameters.seed)?,
                            super::expression::number(&parameters.increment)?,
                        ),
                        _ => (1, 1),
                    };
                    extra.push_str(&format!(
                        " GENERATED ALWAYS AS IDENTITY (START WITH {seed} INCREMENT BY {step})"
                    ));
                }
                ColumnOption::Generated {
                    generation_expr: Some(expression),
                    ..
                } => {
                    let source = super::Source {
                        alias: known.name.clone(),
                        columns: known.columns.clone(),
                    };
                    let value = self
                        .expression(
                            expression,
                            &Scope {
                                sources: vec![source],
                                outer: None,
                            },
                        )?
                        .stored();
                    column.computed = true;
                    column.sql_type = value.sql_type.unwrap_or(SqlType::Int);
                    // Inside its own table a column is named without the table.
                    let plain = value
                        .sql
                        .replace(&format!("{}.", text::quoted(&known.name)), "");
                    extra.push_str(&format!(" GENERATED ALWAYS AS ({plain}) STORED"));
                }
                other => return Err(SqlError::unsupported(other).into()),
            }
        }
        if column.sql_type == SqlType::RowVersion {
            extra.push_str(" DEFAULT sys.next_rowversion()");
        }
        let null = if column.nullable { "" } else { " NOT NULL" };
        let sql = format!(
            "{} {}{null}{extra}",
            text::quoted(&column.name),
            column.sql_type.postgres()
        );
        Ok(Defined {
            sql,
            column,
            primary_key,
            unique,
        })
    }

    pub(super) fn create_index(&self, create: &CreateIndex) -> Result<Plan, Fault> {
        let table = self.table(&create.table_name)?;
        let mut list = Vec::new();
        for written in index_columns(&create.columns)? {
            let column = table
                .columns
                .iter()
                .find(|column| same_name(&column.name, &written))
                .ok_or_else(|| SqlError::no_column(&written))?;
            list.push(text::quoted(&column.name));
        }
        let unique = if create.unique { "UNIQUE " } else { "" };
        // Names of indexes are a table's own in SQL Server and a schema's in PostgreSQL: it chooses one.
        let mut sql = format!(
            "CREATE {unique}INDEX ON {} ({})",
            qualified(&table.schema, &table.name),
            list.join(", ")
        );
        if let Some(condition) = &create.predicate {
            let source = super::Source {
                alias: table.name.clone(),
                columns: table.columns.clone(),
            };
            let condition = self.condition(
                condition,
                &Scope {
                    sources: vec![source],
                    outer: None,
                },
            )?;
            sql.push_str(&format!(
                " WHERE {}",
                condition.replace(&format!("{}.", text::quoted(&table.name)), "")
            ));
        }
        Ok(Plan::Define(sql))
    }

    pub(super) fn create_view(&self, create: &CreateView) -> Result<Plan, Fault> {
        let name = self.table_ref(&create.name)?;
        let view = qualified(&name.schema, &name.name);
        let rows = self.query(&create.query, None)?;
        let names: Vec<String> = rows.names.iter().map(|name| text::quoted(name)).collect();
        let mut sql = format!("CREATE VIEW {view} ({}) AS {}", names.join(", "), rows.sql);
        for (typed, name) in rows.columns.iter().zip(&rows.names) {
            let column = Column {
                name: name.clone(),
                sql_type: typed.sql_type.unwrap_or(SqlType::Int),
                collation: typed.collation.clone(),
                nullable: typed.nullable,
                identity: false,
                computed: false,
            };
            sql.push_str(&comment(&view, &column));
        }
        Ok(Plan::Define(sql))
    }

    pub(super) fn alter_table(&self, alter: &AlterTable) -> Result<Plan, Fault> {
        let table = self.table(&alter.name)?;
        let qualified = qualified(&table.schema, &table.name);
        let mut sql = Vec::new();
        for operation in &alter.operations {
            match operation {
                AlterTableOperation::AddColumn { column_def, .. } => {
                    let defined = self.column(column_def, table)?;
                    sql.push(format!(
                        "ALTER TABLE {qualified} ADD COLUMN {}{}",
                        defined.sql,
                        comment(&qualified, &defined.column)
                    ));
                }
                AlterTableOperation::DropColumn { column_names, .. } => {
                    for name in column_names {
                        let column = table
                            .columns
                            .iter()
                            .find(|column| same_name(&column.name, &name.value))
                            .ok_or_else(|| SqlError::no_column(&name.value))?;
                        sql.push(format!(
                            "ALTER TABLE {qualified} DROP COLUMN {}",
                            text::quoted(&column.name)
                        ));
                    }
                }
                AlterTableOperation::AddConstraint { constraint, .. } => {
                    let (kind, columns) = match constraint {
                        TableConstraint::PrimaryKey(key) => {
                            ("PRIMARY KEY", index_columns(&key.columns)?)
                        }
                        TableConstraint::Unique(key) => ("UNIQUE", index_columns(&key.columns)?),
                        other => return Err(SqlError::unsupported(other).into()),
                    };
                    let mut list = Vec::new();
                    for written in columns {
                        let column = table
                            .columns
                            .iter()
                            .find(|column| same_name(&column.name, &written))
                            .ok_or_else(|| SqlError::no_column(&written))?;
                        list.push(text::quoted(&column.name));
                    }
                    sql.push(format!(
                        "ALTER TABLE {qualified} ADD {kind} ({})",
                        list.join(", ")
                    ));
                }
                other => return Err(SqlError::unsupported(other).into()),
            }
        }
        Ok(Plan::Define(sql.join("; ")))
    }

    pub(super) fn drop_objects(
        &self,
        kind: ObjectType,
        if_exists: bool,
        names: &[ObjectName],
    ) -> Result<Plan, Fault> {
        let word = match kind {
            ObjectType::Table => "TABLE",
            ObjectType::View => "VIEW",
            ObjectType::Schema => {
                let names: Vec<String> = names
                    .iter()
                    .map(|name| Ok(text::quoted(&plain(name)?)))
                    .collect::<Result<_, SqlError>>()?;
                return Ok(Plan::Define(format!(
                    "DROP SCHEMA {}{}",
                    if if_exists { "IF EXISTS " } else { "" },
                    names.join(", ")
                )));
            }
            other => return Err(SqlError::unsupported(other).into()),
        };
        let mut list = Vec::new();
        for name in names {
            match self.table(name) {
                Ok(table) => list.push(qualified(&table.schema, &table.name)),
                // Whether it exists is PostgreSQL's to find out.
                Err(Fault::Unknown(name)) if if_exists => {
                    list.push(qualified(&name.schema, &name.name))
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(Plan::Define(format!(
            "DROP {word} {}{}",
            if if_exists { "IF EXISTS " } else { "" },
            list.join(", ")
        )))
    }
}

pub(super) fn create_schema(name: &SchemaName) -> Result<Plan, Fault> {
    match name {
        SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _) => Ok(Plan::Define(
            format!("CREATE SCHEMA {}", text::quoted(&plain(name)?)),
        )),
        SchemaName::UnnamedAuthorization(_) => Err(SqlError::unsupported(name).into()),
    }
}

/// A name of one part.
fn plain(name: &ObjectName) -> Result<String, SqlError> {
    match idents(name)?.as_slice() {
        [ident] => Ok(ident.value.clone()),
        _ => Err(SqlError::unsupported(name)),
    }
}

fn index_columns(columns: &[IndexColumn]) -> Result<Vec<String>, SqlError> {
    columns
        .iter()
        .map(|column| match &column.column.expr {
            Expr::Identifier(ident) => Ok(ident.value.clone()),
            other => Err(SqlError::unsupported(other)),
        })
        .collect()
}

/// The statement that keeps a column's declared type.
fn comment(table: &str, column: &Column) -> String {
    let declared = declaration(column.sql_type, &column.collation);
    format!(
        "; COMMENT ON COLUMN {table}.{} IS {}",
        text::quoted(&column.name),
        text::literal(&declared)
    )
}

//! Data definition: CREATE, ALTER and DROP.

use sqlparser::ast::{
    AlterTable, AlterTableOperation, ColumnDef, ColumnOption, CreateIndex, CreateTable, CreateView,
    Expr, ForeignKeyConstraint, Ident, IdentityProperty, IdentityPropertyFormatKind,
    IdentityPropertyKind, IndexColumn, ObjectName, ObjectType, SchemaName, TableConstraint,
};

use super::convert;
use super::expression::number;
use super::translator::{Scope, TranslateError, Translation, Translator, idents};
use crate::catalog::{Column, Table, TableRef, declaration};
use crate::error::SqlError;
use crate::postgres;
use crate::types::collation::Collation;
use crate::types::sql_type::SqlType;

/// A new column: its definition for PostgreSQL, and the keys that it is alone.
struct NewColumn {
    sql: String,
    column: Column,
    primary_key: bool,
    unique: bool,
}

impl Translator {
    pub(super) fn create_table(&self, create: &CreateTable) -> Result<Translation, TranslateError> {
        if create.query.is_some() || create.temporary || create.if_not_exists {
            return Err(SqlError::unsupported(
                "CREATE TABLE with a query, TEMPORARY or IF NOT EXISTS",
            )
            .into());
        }
        let TableRef { schema, name } = self.table_ref(&create.name)?;
        // Has the columns before the current one, which a computed column may refer to.
        let mut table = Table {
            schema,
            name,
            columns: Vec::new(),
            memory_optimized: false,
        };
        let mut parts = Vec::new();
        let mut keys = Vec::new();
        for definition in &create.columns {
            let new = self.column(definition, &table)?;
            let name = || vec![new.column.name.clone()];
            if new.primary_key {
                keys.push(("PRIMARY KEY", name()));
            }
            if new.unique {
                keys.push(("UNIQUE", name()));
            }
            parts.push(new.sql);
            table.columns.push(new.column);
        }
        let mut references = Vec::new();
        let mut constraints = Vec::new();
        for constraint in &create.constraints {
            match constraint {
                TableConstraint::ForeignKey(key) => references.push(self.foreign_key(key)?),
                other => constraints.push(key_of(other)?),
            }
        }
        for (kind, columns) in constraints.into_iter().chain(keys) {
            parts.push(format!("{kind} ({})", quoted_columns(&table, &columns)?));
        }
        parts.append(&mut references);
        let qualified = table.qualified();
        let mut sql = format!("CREATE TABLE {qualified} ({})", parts.join(", "));
        for column in &table.columns {
            sql.push_str(&comment(&qualified, column));
        }
        Ok(Translation::Define(sql))
    }

    /// A foreign key. The case of its columns must match their declarations.
    fn foreign_key(&self, key: &ForeignKeyConstraint) -> Result<String, TranslateError> {
        let list = |columns: &[Ident]| {
            postgres::quoted_list(columns.iter().map(|name| name.value.as_str()))
        };
        let parent = self.table_ref(&key.foreign_table)?;
        let name = key
            .name
            .as_ref()
            .map(|name| format!("CONSTRAINT {} ", postgres::quoted(&name.value)))
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
            parent.qualified()
        ))
    }

    /// One column. A computed column may refer to the columns of `table`.
    fn column(&self, definition: &ColumnDef, table: &Table) -> Result<NewColumn, TranslateError> {
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
                    column.collation = Collation::named(&name.to_string());
                }
                ColumnOption::Default(value) => {
                    let value = self.expression(value, &Scope::default())?;
                    extra.push_str(&format!(" DEFAULT {}", convert::assign(value, &column)?));
                }
                ColumnOption::Identity(IdentityPropertyKind::Identity(property)) => {
                    column.identity = true;
                    column.nullable = false;
                    extra.push_str(&identity(property)?);
                }
                ColumnOption::Generated {
                    generation_expr: Some(expression),
                    ..
                } => {
                    let scope = Scope::of_table(table, None);
                    let value = self.expression(expression, &scope)?.stored();
                    column.computed = true;
                    column.sql_type = value.sql_type.unwrap_or(SqlType::Int);
                    extra.push_str(&format!(
                        " GENERATED ALWAYS AS ({}) STORED",
                        unqualified(&value.sql, table)
                    ));
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
            postgres::quoted(&column.name),
            column.sql_type.postgres()
        );
        Ok(NewColumn {
            sql,
            column,
            primary_key,
            unique,
        })
    }

    pub(super) fn create_index(&self, create: &CreateIndex) -> Result<Translation, TranslateError> {
        let table = self.table(&create.table_name)?;
        let columns = quoted_columns(table, &index_columns(&create.columns)?)?;
        let unique = if create.unique { "UNIQUE " } else { "" };
        // The name of an index is unique per table in SQL Server but per schema in PostgreSQL.
        // Without a name PostgreSQL chooses one.
        let mut sql = format!("CREATE {unique}INDEX ON {} ({columns})", table.qualified());
        if let Some(condition) = &create.predicate {
            let condition = self.condition(condition, &Scope::of_table(table, None))?;
            sql.push_str(&format!(" WHERE {}", unqualified(&condition, table)));
        }
        Ok(Translation::Define(sql))
    }

    pub(super) fn create_view(&self, create: &CreateView) -> Result<Translation, TranslateError> {
        let view = self.table_ref(&create.name)?.qualified();
        let rows = self.query(&create.query, None)?;
        let names = postgres::quoted_list(rows.names.iter().map(String::as_str));
        let mut sql = format!("CREATE VIEW {view} ({names}) AS {}", rows.sql);
        for (column, name) in rows.columns.iter().zip(&rows.names) {
            sql.push_str(&comment(&view, &column.to_column(name)));
        }
        Ok(Translation::Define(sql))
    }

    pub(super) fn alter_table(&self, alter: &AlterTable) -> Result<Translation, TranslateError> {
        let table = self.table(&alter.name)?;
        let qualified = table.qualified();
        let mut sql = Vec::new();
        for operation in &alter.operations {
            match operation {
                AlterTableOperation::AddColumn { column_def, .. } => {
                    let new = self.column(column_def, table)?;
                    sql.push(format!(
                        "ALTER TABLE {qualified} ADD COLUMN {}{}",
                        new.sql,
                        comment(&qualified, &new.column)
                    ));
                }
                AlterTableOperation::DropColumn { column_names, .. } => {
                    for name in column_names {
                        let column = table.column(&name.value)?;
                        sql.push(format!(
                            "ALTER TABLE {qualified} DROP COLUMN {}",
                            postgres::quoted(&column.name)
                        ));
                    }
                }
                AlterTableOperation::AddConstraint { constraint, .. } => {
                    let (kind, columns) = key_of(constraint)?;
                    sql.push(format!(
                        "ALTER TABLE {qualified} ADD {kind} ({})",
                        quoted_columns(table, &columns)?
                    ));
                }
                other => return Err(SqlError::unsupported(other).into()),
            }
        }
        Ok(Translation::Define(sql.join("; ")))
    }

    pub(super) fn drop_objects(
        &self,
        object_type: ObjectType,
        if_exists: bool,
        names: &[ObjectName],
    ) -> Result<Translation, TranslateError> {
        let mut list = Vec::new();
        for name in names {
            list.push(match object_type {
                ObjectType::Table | ObjectType::View => match self.table(name) {
                    Ok(table) => table.qualified(),
                    // PostgreSQL checks whether the object exists.
                    Err(TranslateError::UnknownTable(name)) if if_exists => name.qualified(),
                    Err(error) => return Err(error),
                },
                ObjectType::Schema => postgres::quoted(single_ident(name)?),
                other => return Err(SqlError::unsupported(other).into()),
            });
        }
        Ok(Translation::Define(format!(
            "DROP {object_type} {}{}",
            if if_exists { "IF EXISTS " } else { "" },
            list.join(", ")
        )))
    }
}

pub(super) fn create_schema(name: &SchemaName) -> Result<Translation, TranslateError> {
    match name {
        SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _) => {
            Ok(Translation::Define(format!(
                "CREATE SCHEMA {}",
                postgres::quoted(single_ident(name)?)
            )))
        }
        SchemaName::UnnamedAuthorization(_) => Err(SqlError::unsupported(name).into()),
    }
}

/// The identifier of a name without qualifiers.
fn single_ident(name: &ObjectName) -> Result<&str, SqlError> {
    match idents(name)?.as_slice() {
        [ident] => Ok(ident.value.as_str()),
        _ => Err(SqlError::unsupported(name)),
    }
}

/// The kind and the columns of a primary key or unique constraint.
fn key_of(constraint: &TableConstraint) -> Result<(&'static str, Vec<String>), SqlError> {
    match constraint {
        TableConstraint::PrimaryKey(key) => Ok(("PRIMARY KEY", index_columns(&key.columns)?)),
        TableConstraint::Unique(key) => Ok(("UNIQUE", index_columns(&key.columns)?)),
        other => Err(SqlError::unsupported(other)),
    }
}

/// The declared names of columns, which a statement may write in any case.
fn quoted_columns(table: &Table, names: &[String]) -> Result<String, SqlError> {
    let columns = names
        .iter()
        .map(|name| table.column(name).map(|column| column.name.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(postgres::quoted_list(columns))
}

/// An expression without the table's name before its columns.
fn unqualified(sql: &str, table: &Table) -> String {
    sql.replace(&format!("{}.", postgres::quoted(&table.name)), "")
}

fn identity(property: &IdentityProperty) -> Result<String, SqlError> {
    let (seed, step) = match &property.parameters {
        Some(IdentityPropertyFormatKind::FunctionCall(parameters)) => {
            (number(&parameters.seed)?, number(&parameters.increment)?)
        }
        _ => (1, 1),
    };
    Ok(format!(
        " GENERATED ALWAYS AS IDENTITY (START WITH {seed} INCREMENT BY {step})"
    ))
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

/// The statement that stores the declared type of a column.
fn comment(table: &str, column: &Column) -> String {
    let declared = declaration(column.sql_type, &column.collation);
    format!(
        "; COMMENT ON COLUMN {table}.{} IS {}",
        postgres::quoted(&column.name),
        postgres::literal(&declared)
    )
}

//! Turns a query into SQL that walks one declared index, in order, from where the last page ended.

use rusqlite::{
    ToSql,
    types::{ToSqlOutput, Value, ValueRef},
};

use crate::{
    Filter, Query, Scalar, StoreError,
    layout::Layout,
    plan::{Plan, field_of, value_of},
};

/// A query as SQLite will run it: key, document and the order field's value of each hit, one more than the page holds.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<Value>,
}

/// A value that is bound without being copied first.
pub(super) struct Bound<'a>(pub(super) &'a Scalar);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Scalar::Integer(number) => ValueRef::Integer(*number),
            Scalar::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The value as SQLite holds it.
pub(super) fn to_sql(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Integer(number) => Value::Integer(*number),
        Scalar::Text(text) => Value::Text(text.clone()),
    }
}

/// Compiles `query`.
///
/// # Errors
/// [`StoreError::Refused`] when no declared index serves it, or it names a field that was not declared.
pub(super) fn compile(table: &Layout, query: &Query) -> Result<Statement, StoreError> {
    let plan = Plan::of(table, query)?;
    let mut sql = Sql::default();
    let order = format!("f_{}", query.order.field);
    let index_name = table.index_name(plan.index);
    let (driver, source) = if plan.array.is_some() {
        // The side table goes without an alias, so that a plan names it.
        let source = format!("{index_name} CROSS JOIN {} AS d ON d.key = {index_name}.key", table.name);
        (index_name.as_str(), source)
    } else {
        ("d", format!("{} AS d INDEXED BY {index_name}", table.name))
    };
    sql.push(&format!(
        "SELECT d.key, d.document, d.{order} FROM {source} WHERE {driver}.{order} IS NOT NULL"
    ));
    for (place, filter) in query.filters.iter().enumerate() {
        if plan.serves(place) {
            let element = plan.array == Some(field_of(filter));
            let column = if element { "element".into() } else { format!("f_{}", field_of(filter)) };
            sql.compare(&format!("{driver}.{column}"), "=", value_of(filter));
        } else {
            let indexed = plan.index.fields.contains(&field_of(filter));
            narrow(&mut sql, table, if indexed { driver } else { "d" }, filter);
        }
    }
    let (comparison, direction) = if query.order.descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some(after) = &query.after {
        sql.push(&format!(" AND ({driver}.{order}, {driver}.key) {comparison} (?, ?)"));
        sql.parameters.push(to_sql(&after.value));
        sql.parameters.push(Value::Text(after.key.clone()));
    }
    sql.push(&format!(" ORDER BY {driver}.{order} {direction}, {driver}.key {direction} LIMIT ?"));
    sql.parameters.push(Value::Integer(i64::try_from(query.limit.saturating_add(1)).unwrap_or(i64::MAX)));
    Ok(Statement { sql: sql.text, parameters: sql.parameters })
}

/// Adds a filter that the driving index does not answer by itself; its field is read from `source`.
fn narrow(sql: &mut Sql, table: &Layout, source: &str, filter: &Filter) {
    let field = field_of(filter);
    if let Filter::Has(..) = filter {
        let mut indexes = table.array_indexes();
        let (index, _) =
            indexes.find(|(_, array)| *array == field).expect("the plan knows that it is declared");
        sql.push(&format!(" AND EXISTS (SELECT 1 FROM {} AS x WHERE x.key = d.key", table.index_name(index)));
        for scalar in index.fields.iter().filter(|indexed| **indexed != field) {
            sql.push(&format!(" AND x.f_{scalar} = d.f_{scalar}"));
        }
        sql.compare("x.element", "=", value_of(filter));
        sql.push(")");
        return;
    }
    let comparison = match filter {
        Filter::Is(..) | Filter::Has(..) => "=",
        Filter::AtLeast(..) => ">=",
        Filter::AtMost(..) => "<=",
    };
    sql.compare(&format!("{source}.f_{field}"), comparison, value_of(filter));
    if comparison != "=" {
        let kind = match value_of(filter) {
            Scalar::Integer(_) => "integer",
            Scalar::Text(_) => "text",
        };
        sql.push(&format!(" AND typeof({source}.f_{field}) = '{kind}'"));
    }
}

/// SQL in the making. Values only ever enter as parameters.
#[derive(Default)]
struct Sql {
    text: String,
    parameters: Vec<Value>,
}

impl Sql {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn compare(&mut self, column: &str, comparison: &str, value: &Scalar) {
        self.push(&format!(" AND {column} {comparison} ?"));
        self.parameters.push(to_sql(value));
    }
}

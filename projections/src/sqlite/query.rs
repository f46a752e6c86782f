//! Turns a query into SQL that walks one declared index, in order, from where the last page ended.

use rusqlite::{
    ToSql,
    types::{ToSqlOutput, Value, ValueRef},
};

use super::table::Table;
use crate::{Filter, Index, Query, Scalar, StoreError};

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
pub(super) fn compile(table: &Table, query: &Query) -> Result<Statement, StoreError> {
    if query.limit == 0 {
        return Err(StoreError::Refused("a page has room for at least one document".into()));
    }
    let plan = Plan::of(table, query).ok_or_else(|| {
        let fields: Vec<&str> = query.filters.iter().map(field_of).collect();
        let (fields, order) = (fields.join(", "), query.order.field);
        StoreError::Refused(format!("no index of {} serves ({fields}) ordered by {order}", table.name))
    })?;
    plan.statement(table, query)
}

/// The index that drives a query, and the filters it takes care of.
struct Plan {
    index: &'static Index,
    array: Option<&'static str>,
    /// Places of the filters that the index answers by itself, in the order of its fields.
    served: Vec<usize>,
}

impl Plan {
    /// The index that answers most of the query's filters by itself; among equals the one declared first.
    fn of(table: &Table, query: &Query) -> Option<Self> {
        let plans = table.spec.indexes.iter().filter_map(|index| Self::with(table, index, query));
        plans.reduce(|best, next| if next.served.len() > best.served.len() { next } else { best })
    }

    fn with(table: &Table, index: &'static Index, query: &Query) -> Option<Self> {
        let (last, leading) = index.fields.split_last()?;
        if *last != query.order.field {
            return None;
        }
        let array = table.array_of(index);
        let served: Option<Vec<usize>> =
            leading.iter().map(|field| serving(&query.filters, field, array == Some(*field))).collect();
        Some(Self { index, array, served: served? })
    }

    fn statement(&self, table: &Table, query: &Query) -> Result<Statement, StoreError> {
        let mut sql = Sql::default();
        let order = format!("f_{}", query.order.field);
        let index_name = table.index_name(self.index);
        let (driver, source) = if self.array.is_some() {
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
            if self.served.contains(&place) {
                let element = self.array == Some(field_of(filter));
                let column = if element { "element".into() } else { format!("f_{}", field_of(filter)) };
                sql.compare(&format!("{driver}.{column}"), "=", value_of(filter));
            } else {
                let indexed = self.index.fields.contains(&field_of(filter));
                narrow(&mut sql, table, if indexed { driver } else { "d" }, filter)?;
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
}

/// The filter that pins `field` to one value. Of several elements the longest is taken: long words are rare.
fn serving(filters: &[Filter], field: &str, is_array: bool) -> Option<usize> {
    let pins = |filter: &Filter| match filter {
        Filter::Is(named, _) => !is_array && *named == field,
        Filter::Has(named, _) => is_array && *named == field,
        Filter::AtLeast(..) | Filter::AtMost(..) => false,
    };
    let places = filters.iter().enumerate().filter(|(_, filter)| pins(filter));
    places
        .max_by_key(|(place, filter)| (weight(value_of(filter)), usize::MAX - place))
        .map(|(place, _)| place)
}

fn weight(value: &Scalar) -> usize {
    match value {
        Scalar::Integer(_) => 0,
        Scalar::Text(text) => text.len(),
    }
}

/// Adds a filter that the driving index does not answer by itself; its field is read from `source`.
fn narrow(sql: &mut Sql, table: &Table, source: &str, filter: &Filter) -> Result<(), StoreError> {
    let field = field_of(filter);
    let undeclared = || StoreError::Refused(format!("{field} is not a declared field of {}", table.name));
    if let Filter::Has(..) = filter {
        let mut indexes = table.array_indexes();
        let (index, _) = indexes.find(|(_, array)| *array == field).ok_or_else(undeclared)?;
        sql.push(&format!(" AND EXISTS (SELECT 1 FROM {} AS x WHERE x.key = d.key", table.index_name(index)));
        for scalar in index.fields.iter().filter(|indexed| **indexed != field) {
            sql.push(&format!(" AND x.f_{scalar} = d.f_{scalar}"));
        }
        sql.compare("x.element", "=", value_of(filter));
        sql.push(")");
        return Ok(());
    }
    if !table.columns.contains(&field) {
        return Err(undeclared());
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
    Ok(())
}

fn field_of(filter: &Filter) -> &'static str {
    match filter {
        Filter::Is(field, _)
        | Filter::Has(field, _)
        | Filter::AtLeast(field, _)
        | Filter::AtMost(field, _) => field,
    }
}

fn value_of(filter: &Filter) -> &Scalar {
    match filter {
        Filter::Is(_, value)
        | Filter::Has(_, value)
        | Filter::AtLeast(_, value)
        | Filter::AtMost(_, value) => value,
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

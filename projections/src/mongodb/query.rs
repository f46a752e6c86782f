//! Turns a query into finds that walk one declared index, in order, from where the last page ended.
//!
//! A page that goes on behind a cursor is found in two walks: the documents with the cursor's value behind its key, and
//! those with the values behind it. As one find with an `$or`, the server sometimes prefers to walk the index from its
//! beginning.

use mongodb::{
    bson::{Bson, Document, doc},
    options::Hint,
};

use super::stored::{TEXT, path};
use crate::{
    Cursor, Filter, Order, Query, Scalar, StoreError,
    layout::Layout,
    plan::{Plan, field_of, value_of},
};

/// A query as MongoDB will run it: its walks follow each other.
#[derive(Debug)]
pub(super) struct Walks {
    pub(super) filters: Vec<Document>,
    pub(super) sort: Document,
    pub(super) index: &'static str,
    /// What of a document is needed.
    pub(super) projection: Document,
}

impl Walks {
    /// The index that the walks are bound to.
    pub(super) fn hint(&self) -> Hint {
        Hint::Name(self.index.to_owned())
    }
}

/// Compiles `query`.
///
/// # Errors
/// [`StoreError::Refused`] when no declared index serves it, or it names a field that was not declared.
pub(super) fn compile(layout: &Layout, query: &Query) -> Result<Walks, StoreError> {
    let plan = Plan::of(layout, query)?;
    let mut conditions = Vec::new();
    for (place, filter) in query.filters.iter().enumerate() {
        if plan.serves(place) {
            conditions.push(doc! { path(field_of(filter)): bson(value_of(filter)) });
        } else {
            narrow(&mut conditions, layout, filter);
        }
    }
    let ranges = ranges(query.order, query.after.as_ref());
    let filters = ranges.into_iter().map(|range| {
        let all: Vec<Document> = conditions.iter().cloned().chain([range]).collect();
        doc! { "$and": all }
    });
    let (ordered, direction) = (path(query.order.field), if query.order.descending { -1 } else { 1 });
    Ok(Walks {
        filters: filters.collect(),
        sort: doc! { &ordered: direction, "_id": direction },
        index: plan.index.name,
        projection: doc! { TEXT: 1, &ordered: 1 },
    })
}

/// Adds a filter that the driving index does not answer by itself.
fn narrow(conditions: &mut Vec<Document>, layout: &Layout, filter: &Filter) {
    let (field, value) = (path(field_of(filter)), bson(value_of(filter)));
    let condition = match filter {
        Filter::Is(..) => doc! { field: value },
        // Comparisons stay within the kind of what is compared with.
        Filter::AtLeast(..) => doc! { field: { "$gte": value } },
        Filter::AtMost(..) => doc! { field: { "$lte": value } },
        Filter::Has(name, _) => {
            let mut indexes = layout.array_indexes();
            let (index, _) =
                indexes.find(|(_, array)| array == name).expect("the plan knows that it is declared");
            // As where an index with an array is a table: a document without the other fields is not in it.
            let others = index.fields.iter().filter(|indexed| *indexed != name);
            conditions.extend(others.map(|other| doc! { path(other): { "$ne": null } }));
            // As an expression, so that the walk's own element is what bounds the index.
            let elements = doc! { "$ifNull": [format!("${field}"), []] };
            doc! { "$expr": { "$in": [{ "$literal": value }, elements] } }
        }
    };
    conditions.push(condition);
}

/// What is left of the order: everything, or what comes behind the cursor. Whole numbers come before text, and a
/// comparison meets only its own kind, so where the other kind follows what is excluded is said instead.
fn ranges(order: Order, after: Option<&Cursor>) -> Vec<Document> {
    let field = path(order.field);
    let Some(Cursor { value, key }) = after else { return vec![doc! { field: { "$ne": null } }] };
    let at = bson(value);
    let behind = match (value, order.descending) {
        (Scalar::Integer(_), false) => doc! { "$not": { "$lte": &at }, "$ne": null },
        (Scalar::Text(_), false) => doc! { "$gt": &at },
        (Scalar::Integer(_), true) => doc! { "$lt": &at },
        (Scalar::Text(_), true) => doc! { "$not": { "$gte": &at }, "$ne": null },
    };
    let comparison = if order.descending { "$lt" } else { "$gt" };
    vec![doc! { &field: at, "_id": { comparison: key } }, doc! { field: behind }]
}

fn bson(scalar: &Scalar) -> Bson {
    match scalar {
        Scalar::Integer(number) => Bson::Int64(*number),
        Scalar::Text(text) => Bson::String(text.clone()),
    }
}

/// A plan in words, one line for each stage, the outermost first.
pub(super) fn plan_in_words(explained: &Document) -> String {
    let mut lines = Vec::new();
    if let Ok(plan) = explained.get_document("queryPlanner").and_then(|plan| plan.get_document("winningPlan"))
    {
        describe(plan, &mut lines);
    }
    lines.join("\n")
}

fn describe(stage: &Document, lines: &mut Vec<String>) {
    let text = |name: &str| stage.get_str(name).unwrap_or_default().to_owned();
    let bounds = stage.get_document("indexBounds").map(ToString::to_string).unwrap_or_default();
    lines.push(format!("{} {} {bounds}", text("stage"), text("indexName")).trim_end().to_owned());
    // Of the engine of newer servers, the plan that people read lies one level deeper.
    for inner in ["inputStage", "queryPlan"] {
        if let Ok(inner) = stage.get_document(inner) {
            describe(inner, lines);
        }
    }
    let several = stage.get_array("inputStages").map(Vec::as_slice).unwrap_or_default();
    several.iter().filter_map(Bson::as_document).for_each(|inner| describe(inner, lines));
}

//! Which declared index serves a query, the same in every engine, so that all give the same results at the same price.

use crate::{Filter, Index, Query, Scalar, StoreError, layout::Layout};

/// The index that drives a query, and what each of its filters is for.
#[derive(Debug)]
pub(crate) struct Plan {
    /// It is walked in order, from where the last page ended.
    pub(crate) index: &'static Index,
    /// The index's array field, when it has one.
    pub(crate) array: Option<&'static str>,
    /// Places of the filters that the index answers by itself, in the order of its fields.
    served: Vec<usize>,
}

impl Plan {
    /// The index that answers most of the query's filters by itself; among equals the one declared first.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when no declared index serves it, or it names a field that was not declared.
    pub(crate) fn of(layout: &Layout, query: &Query) -> Result<Self, StoreError> {
        if query.limit == 0 {
            return Err(StoreError::Refused("a page has room for at least one document".into()));
        }
        let plans = layout.spec.indexes.iter().filter_map(|index| Self::with(layout, index, query));
        let best = plans.reduce(|best, next| if next.served.len() > best.served.len() { next } else { best });
        let plan = best.ok_or_else(|| {
            let fields: Vec<&str> = query.filters.iter().map(field_of).collect();
            let (fields, order) = (fields.join(", "), query.order.field);
            StoreError::Refused(format!("no index of {} serves ({fields}) ordered by {order}", layout.name))
        })?;
        for (place, filter) in query.filters.iter().enumerate() {
            if !plan.serves(place) && !is_declared(layout, filter) {
                let field = field_of(filter);
                return Err(StoreError::Refused(format!(
                    "{field} is not a declared field of {}",
                    layout.name
                )));
            }
        }
        Ok(plan)
    }

    fn with(layout: &Layout, index: &'static Index, query: &Query) -> Option<Self> {
        let (last, leading) = index.fields.split_last()?;
        if *last != query.order.field {
            return None;
        }
        let array = layout.array_of(index);
        let served: Option<Vec<usize>> =
            leading.iter().map(|field| serving(&query.filters, field, array == Some(*field))).collect();
        Some(Self { index, array, served: served? })
    }

    /// Whether the index answers the filter at this place by itself; all others narrow what it has found.
    pub(crate) fn serves(&self, place: usize) -> bool {
        self.served.contains(&place)
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

/// Whether the collection declares the filter's field, as an array or not as the filter needs it.
fn is_declared(layout: &Layout, filter: &Filter) -> bool {
    match filter {
        Filter::Has(field, _) => layout.array_indexes().any(|(_, array)| array == *field),
        Filter::Is(field, _) | Filter::AtLeast(field, _) | Filter::AtMost(field, _) => {
            layout.columns.contains(field)
        }
    }
}

/// The field that the filter is about.
pub(crate) fn field_of(filter: &Filter) -> &'static str {
    match filter {
        Filter::Is(field, _)
        | Filter::Has(field, _)
        | Filter::AtLeast(field, _)
        | Filter::AtMost(field, _) => field,
    }
}

/// The value that the filter compares with.
pub(crate) fn value_of(filter: &Filter) -> &Scalar {
    match filter {
        Filter::Is(_, value)
        | Filter::Has(_, value)
        | Filter::AtLeast(_, value)
        | Filter::AtMost(_, value) => value,
    }
}

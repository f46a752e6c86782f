//! A page of a list in order of creation, cut by time.

use serde::Serialize;

use crate::time::Time;

/// What has a place in time. Lists are in this order, so that a page is found without reading what lies before it.
pub(crate) trait Dated {
    fn at(&self) -> Time;
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Inclusive.
    pub(crate) from: Option<Time>,
    /// Exclusive.
    pub(crate) to: Option<Time>,
    /// Behind this place.
    pub(crate) after: usize,
    pub(crate) limit: usize,
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// To be sent as `after` for the next page; there is none behind the last.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    pub(crate) fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(each).collect(), next: self.next }
    }
}

/// The items of `list` within `span` that `wanted` wants.
pub(crate) fn page<T: Dated + Clone>(list: &[T], span: Span, wanted: impl Fn(&T) -> bool) -> Page<T> {
    let start = span.from.map_or(0, |from| list.partition_point(|item| item.at() < from)).max(span.after);
    let end = span.to.map_or(list.len(), |to| list.partition_point(|item| item.at() < to));
    let mut found = Vec::new();
    for (place, item) in list.iter().enumerate().take(end).skip(start).filter(|(_, item)| wanted(item)) {
        if found.len() == span.limit {
            return Page { items: found, next: Some(place.to_string()) };
        }
        found.push(item.clone());
    }
    Page { items: found, next: None }
}

//! How a declared collection is laid out, in whatever engine: which fields are picked out of its documents, and what the
//! names are.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{CollectionSpec, Index, ProjectionId, StoreError};

/// A collection of one build of one projection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// `<projection>_v<N>__<collection>`, `<projection>_v<N>_b<B>__<collection>` for a rebuild.
    pub(crate) name: String,
    /// As declared.
    pub(crate) spec: CollectionSpec,
    /// Scalar fields that are indexed or that filters may name, in order.
    pub(crate) columns: Vec<&'static str>,
    /// The columns first, then the array fields: what is picked out of a document.
    pub(crate) picked: Vec<&'static str>,
}

impl Layout {
    /// The layout of a collection; every name in it is checked, since names become part of SQL and of field paths.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a declaration that makes no sense.
    pub(crate) fn new(projection: &ProjectionId, spec: CollectionSpec) -> Result<Self, StoreError> {
        let named = spec.indexes.iter().flat_map(|index| index.fields).chain(spec.fields).chain(spec.arrays);
        let fixed = [spec.name].into_iter().chain(spec.indexes.iter().map(|index| index.name));
        let bad = fixed.chain(named.clone().copied()).find(|name| !is_plain(name));
        if let Some(bad) = bad.or_else(|| Some(projection.name.as_str()).filter(|name| !is_plain(name))) {
            return Err(StoreError::Refused(format!("{bad:?} is not a name of the form [a-z0-9_]+")));
        }
        let mut columns = Vec::new();
        for field in named {
            if !spec.arrays.contains(field) && !columns.contains(field) {
                columns.push(*field);
            }
        }
        for index in spec.indexes {
            let arrays = index.fields.iter().filter(|field| spec.arrays.contains(field)).count();
            if arrays > 1 || index.fields.last().is_none_or(|last| spec.arrays.contains(last)) {
                let reason =
                    format!("the index {} must have at most one array, not in last place", index.name);
                return Err(StoreError::Refused(reason));
            }
        }
        let picked = columns.iter().chain(spec.arrays).copied().collect();
        Ok(Self { name: format!("{projection}__{}", spec.name), spec, columns, picked })
    }

    /// The array field of `index`, when it has one.
    pub(crate) fn array_of(&self, index: &Index) -> Option<&'static str> {
        index.fields.iter().copied().find(|field| self.spec.arrays.contains(field))
    }

    /// The indexes with an array field.
    pub(crate) fn array_indexes(&self) -> impl Iterator<Item = (&'static Index, &'static str)> {
        self.spec.indexes.iter().filter_map(|index| Some((index, self.array_of(index)?)))
    }

    /// The name of an index.
    pub(crate) fn index_name(&self, index: &Index) -> String {
        format!("{}__{}", self.name, index.name)
    }

    /// The place of `field` among what is picked out of a document.
    pub(crate) fn place(&self, field: &str) -> usize {
        self.picked.iter().position(|picked| *picked == field).expect("every indexed field is picked")
    }

    /// The declaration as text, to notice another one.
    pub(crate) fn declaration(&self) -> String {
        let indexes: Vec<String> =
            self.spec.indexes.iter().map(|i| format!("{}({})", i.name, i.fields.join(","))).collect();
        let (arrays, fields) = (self.spec.arrays.join(","), self.spec.fields.join(","));
        format!("{} arrays({arrays}) fields({fields})", indexes.join(" "))
    }
}

/// Fit to be a name in any engine.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// The collections that an engine has prepared.
#[derive(Debug, Default)]
pub(crate) struct Prepared(RwLock<HashMap<ProjectionId, Vec<Arc<Layout>>>>);

impl Prepared {
    /// What an engine has prepared from the start.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub(crate) fn with(reserved: &[(ProjectionId, &[CollectionSpec])]) -> Result<Self, StoreError> {
        let prepared = Self::default();
        for (projection, specs) in reserved {
            let layouts: Result<Vec<Arc<Layout>>, StoreError> =
                specs.iter().map(|spec| Layout::new(projection, *spec).map(Arc::new)).collect();
            prepared.insert(projection.clone(), layouts?);
        }
        Ok(prepared)
    }

    /// The collection of the projection.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it was not prepared.
    pub(crate) fn layout(
        &self,
        projection: &ProjectionId,
        collection: &str,
    ) -> Result<Arc<Layout>, StoreError> {
        let prepared = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of = |layouts: &Vec<Arc<Layout>>| {
            layouts.iter().find(|layout| layout.spec.name == collection).cloned()
        };
        if let Some(layout) = prepared.get(projection).and_then(of) {
            return Ok(layout);
        }
        // A build that somebody else has made looks like those of the same projection that were prepared here.
        let builds = prepared.iter().filter(|(id, _)| id.name == projection.name);
        let newest = builds.max_by_key(|(id, _)| (id.version, id.build)).and_then(|(_, layouts)| of(layouts));
        let newest = newest.ok_or_else(|| {
            StoreError::Refused(format!("the collection {collection} of {projection} was not prepared"))
        })?;
        Ok(Arc::new(Layout::new(projection, newest.spec)?))
    }

    pub(crate) fn insert(&self, projection: ProjectionId, layouts: Vec<Arc<Layout>>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(projection, layouts);
    }

    pub(crate) fn remove(&self, projection: &ProjectionId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(projection);
    }
}

//! Things in order of creation, found by their id or by the reference of who ordered them.

use std::collections::HashMap;

use super::page::Dated;

/// What stands on a shelf.
pub(crate) trait Item: Dated + Clone {
    fn id(&self) -> &str;
    /// The orderer's own reference: it stands for one order, for ever.
    fn reference(&self) -> &str;
}

/// Things of one kind.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    items: Vec<T>,
    by_id: HashMap<String, usize>,
    by_reference: HashMap<String, usize>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { items: Vec::new(), by_id: HashMap::new(), by_reference: HashMap::new() }
    }
}

impl<T: Item> Shelf<T> {
    /// Puts `item` behind all others. `None`, and nothing is done, when its id or reference is taken.
    pub(crate) fn push(&mut self, item: T) -> Option<usize> {
        if self.by_id.contains_key(item.id()) || self.by_reference.contains_key(item.reference()) {
            return None;
        }
        let place = self.items.len();
        self.by_id.insert(item.id().to_owned(), place);
        self.by_reference.insert(item.reference().to_owned(), place);
        self.items.push(item);
        Some(place)
    }

    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.items.get(self.place(id)?)
    }

    pub(crate) fn by_reference(&self, reference: &str) -> Option<&T> {
        self.items.get(*self.by_reference.get(reference)?)
    }

    /// # Panics
    /// When there is no such place.
    pub(crate) fn at(&self, place: usize) -> &T {
        &self.items[place]
    }

    pub(crate) fn at_mut(&mut self, place: usize) -> Option<&mut T> {
        self.items.get_mut(place)
    }

    pub(crate) fn all(&self) -> &[T] {
        &self.items
    }
}

//! Picks the indexed fields out of a document's text without building the whole of it.

use std::{collections::BTreeSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Scalar;

/// What a document holds in one field, as it is written there; `None`: the field is absent. Two that are written alike
/// are equal, and most are left at that: only what changed is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field<'a>(Option<&'a str>);

impl Field<'_> {
    /// The value, when it is one that can be indexed.
    pub(crate) fn scalar(self) -> Option<Scalar> {
        scalar(self.0?)
    }

    /// The scalars among the elements, when it is an array.
    pub(crate) fn elements(self) -> BTreeSet<Scalar> {
        let array = self.0.filter(|text| text.starts_with('['));
        let elements: Vec<&RawValue> =
            array.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        elements.into_iter().filter_map(|element| scalar(element.get())).collect()
    }
}

/// The scalar that `text` is; nothing for null, booleans, fractions, objects, arrays.
fn scalar(text: &str) -> Option<Scalar> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Some(Scalar::Text(inner.to_owned())),
        Some(_) => serde_json::from_str(text).ok().map(Scalar::Text),
        None => text.parse().ok().map(Scalar::Integer),
    }
}

/// What the document `text` holds in the top-level fields `names`, in that order.
pub(crate) fn pick<'a>(text: &'a str, names: &[&'static str]) -> serde_json::Result<Vec<Field<'a>>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let picked = Picked(names).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(picked)
}

struct Picked<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Picked<'_> {
    type Value = Vec<Field<'de>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Field<'de>>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Picked<'_> {
    type Value = Vec<Field<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Field<'de>>, A::Error> {
        let mut picked = vec![Field::default(); self.0.len()];
        while let Some(place) = map.next_key_seed(Place(self.0))? {
            match place {
                Some(place) => picked[place] = Field(Some(map.next_value::<&'de RawValue>()?.get())),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(picked)
    }
}

/// Which of the names a key is.
struct Place<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_fields_are_picked_and_only_scalars_count() {
        let text = r#"{"a":"x\ny","b":{"a":1},"c":[2,"y",null,2,"\"",[3]],"d":-7,"e":null,"f":1.5,"g":18446744073709551615,"h":true}"#;
        let picked = pick(text, &["d", "a", "c", "b", "e", "f", "g", "h", "absent"]).expect("a document");
        assert_eq!(picked[0].scalar(), Some(Scalar::Integer(-7)));
        assert_eq!(picked[1].scalar(), Some(Scalar::Text("x\ny".into())));
        let elements = [Scalar::Integer(2), Scalar::Text("\"".into()), Scalar::Text("y".into())];
        assert_eq!(picked[2].elements(), BTreeSet::from(elements));
        assert!(picked[2..].iter().all(|field| field.scalar().is_none()));
        assert!(picked.iter().enumerate().all(|(place, field)| place == 2 || field.elements().is_empty()));
        assert!(pick("[]", &["a"]).is_err());
        assert!(pick("{} {}", &["a"]).is_err());
    }
}

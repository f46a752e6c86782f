//! Picks the indexed fields out of a document's text without building the whole of it.

use std::{collections::BTreeSet, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Scalar;

/// What a document holds in one field, as far as indexes are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Field {
    /// Nothing, or nothing that can be indexed.
    #[default]
    Nothing,
    /// One value.
    Scalar(Scalar),
    /// The scalars among an array's elements.
    Array(BTreeSet<Scalar>),
}

impl Field {
    /// The value, when it is one.
    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match self {
            Self::Scalar(scalar) => Some(scalar),
            Self::Nothing | Self::Array(_) => None,
        }
    }

    /// The elements, when it is an array.
    pub(super) fn elements(&self) -> impl Iterator<Item = &Scalar> {
        match self {
            Self::Array(elements) => Some(elements.iter()),
            Self::Nothing | Self::Scalar(_) => None,
        }
        .into_iter()
        .flatten()
    }
}

/// What the document `text` holds in the top-level fields `names`, in that order.
pub(super) fn pick(text: &str, names: &[&'static str]) -> serde_json::Result<Vec<Field>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Picked(names).deserialize(&mut deserializer)
}

struct Picked<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Picked<'_> {
    type Value = Vec<Field>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Field>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Picked<'_> {
    type Value = Vec<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Field>, A::Error> {
        let mut picked = vec![Field::Nothing; self.0.len()];
        while let Some(place) = map.next_key_seed(Place(self.0))? {
            match place {
                Some(place) => picked[place] = map.next_value()?,
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

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Nothing)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Nothing)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Nothing)
    }
    fn visit_i64<E>(self, number: i64) -> Result<Field, E> {
        Ok(Field::Scalar(Scalar::Integer(number)))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
        Ok(i64::try_from(number).map_or(Field::Nothing, |number| Field::Scalar(Scalar::Integer(number))))
    }
    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Scalar(Scalar::Text(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Field, A::Error> {
        let mut elements = BTreeSet::new();
        while let Some(element) = sequence.next_element::<Field>()? {
            if let Field::Scalar(scalar) = element {
                elements.insert(scalar);
            }
        }
        Ok(Field::Array(elements))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_fields_are_picked_and_only_scalars_count() {
        let text =
            r#"{"a":"x","b":{"a":1},"c":[2,"y",null,2],"d":7,"e":null,"f":1.5,"g":18446744073709551615}"#;
        let picked = pick(text, &["d", "a", "c", "b", "e", "f", "g", "absent"]).expect("a document");
        let array = BTreeSet::from([Scalar::Integer(2), Scalar::Text("y".into())]);
        assert_eq!(picked[0], Field::Scalar(Scalar::Integer(7)));
        assert_eq!(picked[1], Field::Scalar(Scalar::Text("x".into())));
        assert_eq!(picked[2], Field::Array(array));
        assert!(picked[3..].iter().all(|field| *field == Field::Nothing));
        assert!(pick("[]", &["a"]).is_err());
    }
}

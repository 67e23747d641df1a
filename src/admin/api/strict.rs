//! Objects are objects: a list would do for serde where an object with known fields is meant, its items
//! taken for the fields in their order. Nobody who asks a venue for something means that.
//!
//! [`check`] walks what was read once more along the type that it is read into, and names the first
//! place, at any depth, where something else than an object stands for one.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess,
    SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// What is wrong, behind the path of the field.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    fn at(self, part: fmt::Arguments<'_>) -> Self {
        let between = match self.0.as_bytes().first() {
            Some(b'[' | b':') | None => "",
            Some(_) => ".",
        };
        Self(format!("{part}{between}{}", self.0))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At the top there is no field to name.
        f.write_str(self.0.strip_prefix(": ").unwrap_or(&self.0))
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(format!(": {what}"))
    }
}

/// Looks whether objects stand where `T` has them.
///
/// # Errors
/// The field where one does not, or that does not fit `T` otherwise.
pub fn check<T: DeserializeOwned>(value: &Value) -> Result<(), Error> {
    T::deserialize(Strict(value)).map(drop)
}

struct Strict<'a>(&'a Value);

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Number(number) => {
                if let Some(number) = number.as_u64() {
                    visitor.visit_u64(number)
                } else if let Some(number) = number.as_i64() {
                    visitor.visit_i64(number)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items {
                items: items.iter(),
                at: 0,
            }),
            Value::Object(fields) => visitor.visit_map(Fields {
                fields: fields.iter(),
                at: None,
            }),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.is_object() {
            self.deserialize_any(visitor)
        } else {
            Err(Error::custom("an object is expected"))
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(word.as_str().into_deserializer()),
            _ => Err(Error::custom("a word is expected")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Value>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let at = self.at;
        self.at += 1;
        let read = seed.deserialize(Strict(item));
        read.map(Some)
            .map_err(|error| error.at(format_args!("[{at}]")))
    }
}

struct Fields<'a> {
    fields: serde_json::map::Iter<'a>,
    at: Option<(&'a str, &'a Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.at = self
            .fields
            .next()
            .map(|(name, value)| (name.as_str(), value));
        let Some((name, _)) = self.at else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, value) = self
            .at
            .take()
            .ok_or_else(|| Error::custom("a value without a name"))?;
        let read = seed.deserialize(Strict(value));
        read.map_err(|error| error.at(format_args!("{name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "read, not looked at")]
    struct Outer {
        rate: Option<Inner>,
        #[serde(default)]
        steps: Vec<Inner>,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "read, not looked at")]
    struct Inner {
        count: u8,
    }

    #[test]
    fn a_list_for_an_object_is_named_at_any_depth() {
        let said = |value: Value| check::<Outer>(&value).err().map(|error| error.to_string());
        assert_eq!(
            said(json!({"rate": {"count": 1}, "steps": [{"count": 2}]})),
            None
        );
        assert_eq!(said(json!({"rate": null})), None);
        assert_eq!(said(json!([null, []])).unwrap(), "an object is expected");
        assert_eq!(
            said(json!({"rate": [1]})).unwrap(),
            "rate: an object is expected"
        );
        let second = json!({"steps": [{"count": 2}, [2]]});
        assert_eq!(said(second).unwrap(), "steps[1]: an object is expected");
        let deep = said(json!({"steps": [{"count": [2]}]})).unwrap();
        assert!(deep.starts_with("steps[0].count: "), "{deep}");
    }
}

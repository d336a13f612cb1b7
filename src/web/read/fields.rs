//! Forms and queries into types, with the field that does not fit.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use http::StatusCode;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_html_form::de::Error as FormError;

use crate::error::{Error, Misfit, Result};
use crate::proto::form;

/// Reads a `T` from the fields in `input`. `what` is how they are called to the client, `misfit` the answer to those that
/// are no `T`.
pub(super) fn read<T: DeserializeOwned>(
    input: &[u8],
    what: &str,
    fields_max: usize,
    misfit: StatusCode,
) -> Result<T> {
    // The deserializer would read replacement characters, and has no limit.
    for (index, field) in form::fields(input).enumerate() {
        if index >= fields_max {
            let text = format!("{what}: more than {fields_max} fields");
            return Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE).with_text(text));
        }
        field.map_err(|error| Error::bad_request(format!("{what}: {error}")))?;
    }
    serde_html_form::from_bytes(input).map_err(|error| {
        let path = failing_field::<T>(input);
        let reason = match &path {
            Some(name) if is_repeated(input, name) && error.to_string() == REPEATED => {
                "given more than once".to_owned()
            }
            _ => error.to_string(),
        };
        Misfit { path, reason }.into_error(what, misfit)
    })
}

/// The field whose value is refused. The deserializer does not say, so it is watched while it does it again.
#[cold]
fn failing_field<T: DeserializeOwned>(input: &[u8]) -> Option<String> {
    let progress = Progress::default();
    let inner = serde_html_form::Deserializer::from_bytes(input);
    let _ = T::deserialize(Watched { inner, progress: &progress });
    let index = progress.index.get().checked_sub(1).filter(|_| progress.in_value.get())?;
    // A name that comes again belongs to its first value.
    let mut seen = HashSet::new();
    let names = form::fields(input).flatten().map(|(name, _)| name);
    let name = names.filter(|name| seen.insert(name.clone())).nth(index)?;
    Some(shown(&name))
}

/// A name as far as it is shown to who sent it.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(SHOWN_CHARS_MAX).collect()
}

fn is_repeated(input: &[u8], name: &str) -> bool {
    form::fields(input).flatten().filter(|(other, _)| other == name).count() > 1
}

/// What the deserializer says of several values for what takes one.
const REPEATED: &str = "unsupported value";

/// Characters of a name that are shown: beyond, a client would only read back what it sent.
const SHOWN_CHARS_MAX: usize = 100;

#[derive(Default)]
struct Progress {
    /// Names that were asked for.
    index: Cell<usize>,
    in_value: Cell<bool>,
}

/// A deserializer that tells how far it came.
struct Watched<'a, D> {
    inner: D,
    progress: &'a Progress,
}

impl<'de> Deserializer<'de> for Watched<'_, serde_html_form::Deserializer<'de>> {
    type Error = FormError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.inner.deserialize_map(Watched { inner: visitor, progress: self.progress })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        self.inner.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, FormError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 char str string option bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier enum ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watched<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Watched { inner: map, progress: self.progress })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Watched<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.progress.index.set(self.progress.index.get() + 1);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.progress.in_value.set(true);
        let value = self.inner.next_value_seed(seed)?;
        self.progress.in_value.set(false);
        Ok(value)
    }
}

//! Bodies that are urlencoded forms.
#![forbid(unsafe_code)]

use http::StatusCode;
use serde::de::DeserializeOwned;

use super::fields;
use crate::conn::Request;
use crate::error::{Error, Result};
use crate::proto::ContentType;

/// How an urlencoded form is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FormConfig {
    /// Fields of a form. Default 1000. Beyond: 413.
    pub fields_max: usize,
}

impl Default for FormConfig {
    fn default() -> Self {
        Self { fields_max: 1000 }
    }
}

impl Request {
    /// The whole body, read from an urlencoded form into a type by field names, as [`query`](Self::query) does it. For forms
    /// with files see [`multipart`](Self::multipart).
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct SignUp { name: String, age: u8, #[serde(default)] topic: Vec<String> }
    ///
    /// async fn sign_up(_: &(), mut req: ringhttp::Request) -> ringhttp::Result<String> {
    ///     let form: SignUp = req.form().await?;
    ///     Ok(format!("{}, {}, {:?}\n", form.name, form.age, form.topic))
    /// }
    /// # ringhttp::Router::new().post("/", sign_up);
    /// ```
    ///
    /// # Errors
    /// 415 if `Content-Type` is not `application/x-www-form-urlencoded`, or in another charset than UTF-8; 413 if there are
    /// more than 1000 fields; 400 if one is not UTF-8; 422 with the field if the form is not a `T`; and as
    /// [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    pub async fn form<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.form_with(FormConfig::default()).await
    }

    /// As [`form`](Self::form), with limits of one's own.
    ///
    /// # Errors
    /// As [`form`](Self::form).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    pub async fn form_with<T: DeserializeOwned>(&mut self, config: FormConfig) -> Result<T> {
        if !self.content_type().is_some_and(is_form) {
            let text = "the body must be application/x-www-form-urlencoded in UTF-8";
            return Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with_text(text));
        }
        let body = self.bytes().await?;
        fields::read(&body, "form", config.fields_max, StatusCode::UNPROCESSABLE_ENTITY)
    }
}

fn is_form(content_type: ContentType<'_>) -> bool {
    let charset = content_type.charset();
    let is_utf8 =
        |charset: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name));
    content_type.is("application/x-www-form-urlencoded") && charset.as_deref().is_none_or(is_utf8)
}

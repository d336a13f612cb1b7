//! Bodies that are urlencoded forms.
#![forbid(unsafe_code)]

use http::StatusCode;
use serde::de::DeserializeOwned;

use super::fields;
use crate::conn::Request;
use crate::error::{Error, Misfit, Result};
use crate::proto::{ContentType, form};
use crate::web::multipart::MultipartConfig;

/// How a form is read.
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
    /// The whole body, read from a form into a type by field names, as [`query`](Self::query) does it. Both kinds of forms are
    /// read: urlencoded ones, and the `multipart/form-data` that scripts send for a `FormData`. For forms with files see [`multipart`](Self::multipart).
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
    /// 415 if `Content-Type` is neither `application/x-www-form-urlencoded` in UTF-8 nor `multipart/form-data`; 413 if there are
    /// more than 1000 fields, or one that came as a part has more than 1 MiB; 400 if one is not UTF-8; 422 with the field if
    /// the form is not a `T`, or if there is a file; and as [`bytes`](Self::bytes).
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
        if self.content_type().is_some_and(|content_type| content_type.is("multipart/form-data")) {
            let body = text_fields(self, config).await?;
            return fields::read(
                body.as_bytes(),
                "form",
                config.fields_max,
                StatusCode::UNPROCESSABLE_ENTITY,
            );
        }
        if !self.content_type().is_some_and(is_form) {
            let text = "the body must be application/x-www-form-urlencoded in UTF-8, or multipart/form-data";
            return Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with_text(text));
        }
        let body = self.bytes().await?;
        fields::read(&body, "form", config.fields_max, StatusCode::UNPROCESSABLE_ENTITY)
    }
}

/// The fields of a form that came in parts, as if it had come urlencoded.
async fn text_fields(request: &mut Request, config: FormConfig) -> Result<String> {
    let mut parts = MultipartConfig::default();
    parts.limits.part_count_max = config.fields_max;
    let mut multipart = request.multipart_with(parts)?;
    let mut texts = Vec::new();
    while let Some(mut part) = multipart.next_part().await? {
        let name = part.name().to_owned();
        match part.file_name() {
            // What browsers send for a file that was not chosen.
            Some("") => {}
            Some(_) => {
                let reason = "a file, where a text is expected".to_owned();
                let misfit = Misfit { path: Some(fields::shown(&name)), reason };
                return Err(misfit.into_error("form", StatusCode::UNPROCESSABLE_ENTITY));
            }
            None => texts.push((name, part.text().await?)),
        }
    }
    Ok(form::encode(texts))
}

fn is_form(content_type: ContentType<'_>) -> bool {
    let charset = content_type.charset();
    let is_utf8 =
        |charset: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name));
    content_type.is("application/x-www-form-urlencoded") && charset.as_deref().is_none_or(is_utf8)
}

//! The fields of a response: a map, unless all there is to say is the type of the body.
#![forbid(unsafe_code)]

use std::cell::{Cell, OnceCell};
use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::proto::http1::ContentTypeLine;

/// Most answers have one field of their own, of a few types: no map is made for it until somebody asks for one.
#[derive(Default)]
pub(in crate::conn) struct Fields {
    /// The only field while there is no map; without meaning beside one.
    content_type: Option<&'static ContentTypeLine>,
    map: OnceCell<HeaderMap>,
    /// Memory for the map.
    spare: Cell<HeaderMap>,
}

impl Fields {
    /// Sets the `Content-Type`.
    pub(super) fn set_content_type(&mut self, value: &'static ContentTypeLine) {
        match self.map.get_mut() {
            Some(map) => {
                map.insert(CONTENT_TYPE, value.value().clone());
            }
            None => self.content_type = Some(value),
        }
    }

    pub(super) fn map(&self) -> &HeaderMap {
        self.map.get_or_init(|| {
            let mut map = self.spare.take();
            if let Some(value) = self.content_type {
                map.insert(CONTENT_TYPE, value.value().clone());
            }
            map
        })
    }

    pub(super) fn map_mut(&mut self) -> &mut HeaderMap {
        self.map();
        self.map.get_mut().expect("made above")
    }

    /// The fields as they are: those of the map, if one was made, else the type of the body.
    pub(in crate::conn) fn parts(&self) -> (Option<&HeaderMap>, Option<&'static ContentTypeLine>) {
        match self.map.get() {
            Some(map) => (Some(map), None),
            None => (None, self.content_type),
        }
    }

    /// The map, if one was made.
    pub(in crate::conn) fn made_map(&mut self) -> Option<&mut HeaderMap> {
        self.map.get_mut()
    }

    /// Makes it as good as new, but for its memory, which is given up if it is for more than `count_max` fields.
    pub(super) fn reset(&mut self, count_max: usize) {
        self.content_type = None;
        if let Some(mut map) = self.map.take()
            && map.capacity() <= count_max
        {
            map.clear();
            self.spare.set(map);
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.map().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TEXT: ContentTypeLine = ContentTypeLine::new("content-type: text/plain\r\n");
    static HTML: ContentTypeLine = ContentTypeLine::new("content-type: text/html\r\n");

    #[test]
    fn the_map_has_what_was_set_before_and_after_it_was_made() {
        let mut fields = Fields::default();
        fields.set_content_type(&TEXT);
        assert_eq!(fields.parts(), (None, Some(&TEXT)));
        assert_eq!(&fields.map()[CONTENT_TYPE], TEXT.value());
        fields.map_mut().insert("x-a", TEXT.value().clone());
        fields.set_content_type(&HTML);
        assert_eq!((fields.map().len(), &fields.map()[CONTENT_TYPE]), (2, HTML.value()));
        fields.map_mut().remove(CONTENT_TYPE);
        assert_eq!(fields.parts(), (Some(fields.map()), None));
    }

    #[test]
    fn nothing_but_memory_outlives_a_reset() {
        let mut fields = Fields::default();
        fields.set_content_type(&TEXT);
        fields.map_mut().insert("x-a", TEXT.value().clone());
        let capacity = fields.map().capacity();
        fields.reset(64);
        assert_eq!(fields.parts(), (None, None));
        assert_eq!((fields.map().len(), fields.map().capacity()), (0, capacity));
    }
}

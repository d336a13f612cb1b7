//! Values that travel with one request or response, found by their type.
#![forbid(unsafe_code)]

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;

/// Values that travel with one request or response, at most one per type: how a middleware tells a handler something.
///
/// They stay on their core, so they may hold `Rc` and `Cell`. Nothing is allocated until something is put in.
///
/// ```
/// use std::rc::Rc;
/// use ringhttp::{Next, Request, Response, Result, Router};
///
/// struct User(Rc<str>);
///
/// async fn sign_in(_: &(), mut req: Request, next: Next<'_, ()>) -> Response {
///     req.extensions_mut().insert(User("ada".into()));
///     next.run(req).await
/// }
///
/// async fn hello(_: &(), req: Request) -> String {
///     let user = req.extensions().get::<User>().map_or("stranger", |user| &user.0);
///     format!("hello {user}\n")
/// }
///
/// let router = Router::new().get("/", hello).with(sign_in);
/// # assert!(router.into_service(()).is_ok());
/// ```
#[derive(Default)]
pub struct Extensions {
    #[expect(clippy::box_collection, reason = "most have none, and a pointer costs them less than a map")]
    values: Option<Box<HashMap<TypeId, Box<dyn Any>>>>,
}

impl Extensions {
    /// Puts a value in, and gives back the one of its type that was there.
    pub fn insert<T: 'static>(&mut self, value: T) -> Option<T> {
        let before = self.values.get_or_insert_default().insert(TypeId::of::<T>(), Box::new(value))?;
        before.downcast().ok().map(|value| *value)
    }

    /// The value of a type.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.values.as_ref()?.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The value of a type, to be changed.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.values.as_mut()?.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// The value of a type, made by `make` if there is none.
    pub fn get_or_insert_with<T: 'static>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        let values = self.values.get_or_insert_default();
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(make()));
        value.downcast_mut().expect("stored under its type")
    }

    /// Takes the value of a type out.
    pub fn remove<T: 'static>(&mut self) -> Option<T> {
        self.values.as_mut()?.remove(&TypeId::of::<T>())?.downcast().ok().map(|value| *value)
    }

    /// Drops all values.
    pub(super) fn clear(&mut self) {
        if self.values.is_some() {
            self.values = None;
        }
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.values.as_ref().map_or(0, |values| values.len());
        f.debug_struct("Extensions").field("count", &count).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_per_type() {
        let mut extensions = Extensions::default();
        assert_eq!(extensions.get::<u8>(), None);
        assert_eq!(
            (extensions.insert(1_u8), extensions.insert("text"), extensions.insert(2_u8)),
            (None, None, Some(1))
        );
        *extensions.get_mut::<u8>().unwrap() += 1;
        assert_eq!((extensions.get::<u8>(), extensions.get::<&str>()), (Some(&3), Some(&"text")));
        assert_eq!(*extensions.get_or_insert_with(|| 9_u8), 3);
        assert_eq!(*extensions.get_or_insert_with(|| 9_u16), 9);
        assert_eq!((extensions.remove::<u8>(), extensions.remove::<u8>()), (Some(3), None));
        extensions.clear();
        assert_eq!(extensions.get::<&str>(), None);
    }
}

//! Users: what one is, where they are kept, and what may be asked about them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use ringhttp::{Error, HeaderMap, HeaderValue, Json, Request, Result, StatusCode, header};

use crate::Api;

/// Users that there may be. Beyond: 507.
const USERS_MAX: usize = 100_000;

#[derive(Clone, serde::Serialize)]
pub(crate) struct User {
    id: u64,
    #[serde(flatten)]
    data: UserData,
}

/// What clients say of a user. A field that is not as its type wants it is named in a 422.
#[derive(Clone, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserData {
    name: Name,
    email: Email,
    age: Option<u8>,
}

#[derive(Clone, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let fits = (1..=100).contains(&text.trim().len());
        if fits { Ok(Self(text)) } else { Err("a name has 1 to 100 bytes") }
    }
}

#[derive(Clone, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String")]
struct Email(String);

impl TryFrom<String> for Email {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let parts = text.split_once('@').filter(|(user, host)| !user.is_empty() && host.contains('.'));
        if parts.is_some() && text.len() <= 254 { Ok(Self(text)) } else { Err("no e-mail address") }
    }
}

/// Stands for a database that all cores ask.
#[derive(Default)]
pub(crate) struct Database(Mutex<Table>);

#[derive(Default)]
struct Table {
    users: BTreeMap<u64, User>,
    last_id: u64,
}

impl Database {
    async fn query<T>(&self, query: impl FnOnce(&mut Table) -> T) -> T {
        query(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) async fn check(api: &Rc<Api>) -> Result<()> {
    api.database.query(|_| Ok(())).await
}

pub(crate) async fn list(api: &Rc<Api>, _: Request) -> Json<Vec<User>> {
    Json(api.database.query(|table| table.users.values().take(100).cloned().collect()).await)
}

pub(crate) async fn create(api: &Rc<Api>, mut req: Request) -> Result<(StatusCode, HeaderMap, Json<User>)> {
    let data: UserData = req.json().await?;
    let insert = |table: &mut Table| {
        if table.users.len() >= USERS_MAX {
            return Err(Error::new(StatusCode::INSUFFICIENT_STORAGE));
        }
        table.last_id += 1;
        let user = User { id: table.last_id, data };
        table.users.insert(user.id, user.clone());
        Ok(user)
    };
    let user = api.database.query(insert).await?;
    let location = HeaderValue::try_from(format!("/users/{}", user.id)).map_err(Error::internal)?;
    Ok((StatusCode::CREATED, HeaderMap::from_iter([(header::LOCATION, location)]), Json(user)))
}

/// From this core's cache. Of several who miss it at the same time, one asks the database.
pub(crate) async fn show(api: &Rc<Api>, req: Request) -> Result<Json<User>> {
    let id: u64 = req.param("id")?;
    let ask =
        async || api.database.query(|table| table.users.get(&id).cloned().ok_or(StatusCode::NOT_FOUND)).await;
    Ok(Json(api.cache.get_or_fill(id, ask).await.map_err(|status| *status)?))
}

/// From the database, and then from the caches of all cores.
pub(crate) async fn remove(api: &Rc<Api>, req: Request) -> Result<()> {
    let id: u64 = req.param("id")?;
    api.database.query(|table| table.users.remove(&id)).await.ok_or(StatusCode::NOT_FOUND)?;
    api.core.gather(async move |_| crate::here().map(|api| drop(api.cache.remove(&id)))).await?;
    Ok(())
}

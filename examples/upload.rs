//! Uploads: a form whose files are streamed to a directory while they come, a list of them, and each as a download.
//!
//! `cargo run --release --example upload`, then open `http://127.0.0.1:8080/`. What was uploaded is gone at the end, unless
//! `--directory DIR` says where to keep it.

#[expect(dead_code, reason = "this example has an option of its own")]
mod common;

use std::path::PathBuf;

use ringhttp::{
    Core, Error, Files, FilesConfig, Html, Json, MultipartConfig, Next, Request, Response, Result, Router,
    Server, ServerConfig, StatusCode,
};

/// The largest file, and all files of one form: 1 GiB. They take space on the disk, and no memory.
const BODY_BYTES_MAX: u64 = 1 << 30;

const FILE_COUNT_MAX: usize = 20;

/// Names that a list has: what else is there can be downloaded all the same.
const LISTED_COUNT_MAX: usize = 1000;

struct Uploads {
    core: Core,
    directory: PathBuf,
}

#[derive(serde::Serialize)]
struct Stored {
    name: String,
    bytes: u64,
}

impl Uploads {
    async fn page(&self, _: Request) -> Html<&'static str> {
        Html(include_str!("upload.html"))
    }

    async fn upload(&self, mut req: Request) -> Result<(StatusCode, Json<Vec<Stored>>)> {
        let mut config = MultipartConfig::default();
        config.limits.part_count_max = FILE_COUNT_MAX;
        let mut form = req.multipart_with(config)?;
        let mut stored = Vec::new();
        while let Some(mut part) = form.next_part().await? {
            // The client's word for the file, without all that could lead out of the directory.
            let Some(name) = part.safe_file_name() else { continue };
            let bytes = part.save(self.directory.join(&name)).await?;
            stored.push(Stored { name, bytes });
        }
        if stored.is_empty() {
            return Err(Error::new(StatusCode::UNPROCESSABLE_ENTITY).with_text("the form has no file"));
        }
        Ok((StatusCode::CREATED, Json(stored)))
    }

    async fn list(&self, _: Request) -> Result<Json<Vec<Stored>>> {
        let directory = self.directory.clone();
        Ok(Json(self.core.spawn_blocking(move || stored_in(&directory)).await??))
    }

    /// A browser saves what somebody uploaded: it must not become a page of this site.
    async fn as_download(&self, req: Request, next: Next<'_, Self>) -> Response {
        // The directory itself has no name.
        let name = req.param_str("path").map(|name| name.into_owned());
        let response = next.run(req).await;
        match name {
            Ok(name) => response.with_attachment(&name),
            Err(_) => response,
        }
    }
}

fn stored_in(directory: &PathBuf) -> std::io::Result<Vec<Stored>> {
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(directory)?.take(LISTED_COUNT_MAX) {
        let entry = entry?;
        // A name with a dot at its front is a file in the making.
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'));
        if let Some(name) = name {
            stored.push(Stored { name, bytes: entry.metadata()?.len() });
        }
    }
    stored.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(stored)
}

fn routes(directory: &PathBuf) -> Router<Uploads> {
    let mut config = FilesConfig::default();
    config.index = None;
    // Otherwise whoever uploads `report.pdf.gz` says what others get for `report.pdf`.
    config.precompressed = false;
    let downloads =
        Router::new().files("/files", Files::with_config(directory, config)).with(Uploads::as_download);
    Router::new()
        .get("/", Uploads::page)
        .get("/list", Uploads::list)
        .post("/upload", Uploads::upload)
        .last_route(|route| route.body_bytes_max = Some(BODY_BYTES_MAX))
        .nest("/", downloads)
}

fn main() -> Result<()> {
    let temporary = std::env::temp_dir().join(format!("ringhttp-upload-{}", std::process::id()));
    let mut directory = temporary.display().to_string();
    let options = common::Options::from_args_and(&mut [("--directory", &mut directory)]);
    let directory = PathBuf::from(directory);
    std::fs::create_dir_all(&directory)?;
    let ended = ringhttp::run(options.runtime.clone(), async |core| {
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, "curl -F file=@/etc/services URL/upload; curl URL/files/services");
        let uploads = Uploads { core: core.clone(), directory: directory.clone() };
        server.serve(&core, routes(&directory), uploads).await
    });
    if directory == temporary {
        std::fs::remove_dir_all(&temporary)?;
    }
    ended
}

//! nginx as one process: with OpenSSL it serves what the scenarios of TLS ask for, and with sendfile a directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Problem;
use crate::certificate::{Certificate, write};
use crate::content::Content;

/// Bodies of `/bytes/{n}` that there are.
const BODIES: [usize; 2] = [64 << 10, 1 << 20];

/// nginx, if it is installed: it is no package of cargo's, and a comparison goes without it.
pub(crate) fn find() -> Option<PathBuf> {
    ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

/// How to start it over TLS, pinned to a CPU. The process that is started is the one that serves.
///
/// # Errors
/// It is not installed, or its files cannot be written.
pub(crate) fn command_secured(certificate: &Certificate, port: u16, cpu: usize) -> Result<Command, Problem> {
    let directory = certificate.directory().join("nginx");
    let bodies = directory.join("bytes");
    std::fs::create_dir_all(&bodies).map_err(|error| format!("{}: {error}", bodies.display()))?;
    for length in BODIES {
        write(&bodies.join(length.to_string()), &"x".repeat(length))?;
    }
    let (chain, key) = (certificate.chain(), certificate.key());
    let (chain, key) = (chain.display(), key.display());
    let server = format!(
        "ssl_certificate {chain};\n\
           ssl_certificate_key {key};\n\
           ssl_protocols TLSv1.2 TLSv1.3;\n\
           server {{\n\
             listen 127.0.0.1:{port} ssl backlog=4096;\n\
             root .;\n\
             location = /plaintext {{ default_type text/plain; return 200 'Hello, World!'; }}\n\
           }}\n"
    );
    command(&directory, &server, cpu)
}

/// The same for files, over plain TCP.
///
/// # Errors
/// As [`command_secured`].
pub(crate) fn command_of_files(content: &Content, port: u16, cpu: usize) -> Result<Command, Problem> {
    let directory = content.directory().join(".nginx");
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let server = format!(
        "sendfile on;\n\
           tcp_nopush on;\n\
           server {{\n\
             listen 127.0.0.1:{port} backlog=4096;\n\
             root {};\n\
           }}\n",
        content.directory().display()
    );
    command(&directory, &server, cpu)
}

fn command(directory: &Path, server: &str, cpu: usize) -> Result<Command, Problem> {
    let nginx = find().ok_or("nginx is missing; on Debian: apt-get install nginx-light")?;
    let file = directory.join("nginx.conf");
    write(&file, &configuration(server))?;
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(nginx).arg("-p").arg(directory).arg("-c").arg(&file);
    // Otherwise it looks for its own log before it has read where that is.
    command.args(["-e", "stderr"]);
    Ok(command)
}

/// As it is set up for speed: no log, files and their metadata kept open, connections that never wear out.
fn configuration(server: &str) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 20000; multi_accept on; }}\n\
         http {{\n\
           access_log off;\n\
           default_type application/octet-stream;\n\
           keepalive_requests 1000000000;\n\
           keepalive_timeout 600s;\n\
           tcp_nodelay on;\n\
           open_file_cache max=16;\n\
           client_body_temp_path body;\n\
           proxy_temp_path proxy;\n\
           fastcgi_temp_path fastcgi;\n\
           uwsgi_temp_path uwsgi;\n\
           scgi_temp_path scgi;\n\
           {server}\
         }}\n"
    )
}

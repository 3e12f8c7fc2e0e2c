//! What all scripts of a server have in common.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyfork::{Process, Stdio};

pub(crate) struct Site {
    /// Has been given all settings that scripts share. Each script is executed in a
    /// fork of it.
    pub(crate) template: Process,
    pub(crate) dir: PathBuf,
    /// The time of a script.
    pub(crate) limit: Duration,
}

impl Site {
    pub(crate) async fn new(
        dir: PathBuf,
        address: SocketAddr,
        limit: Duration,
    ) -> anyfork::Result<Site> {
        let path = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        let template = Process::new()?
            .current_dir(&dir)
            .env_clear()
            .env("PATH", path)
            .env("GATEWAY_INTERFACE", "CGI/1.1")
            .env("SERVER_SOFTWARE", "cgi_server/1.0")
            .env("SERVER_NAME", address.ip().to_string())
            .env("SERVER_PORT", address.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .timeout(limit)
            .kill_on_drop(true)
            .prepare()
            .await?;
        Ok(Site {
            template,
            dir,
            limit,
        })
    }
}

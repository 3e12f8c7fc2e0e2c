//! The Common Gateway Interface as text: which script a request is for, the variables that
//! tell the script about it, and the header that the script prints. This module starts and
//! reads nothing.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;

/// Fields of a request that scripts do not get as `HTTP_…`: passwords, what has
/// a variable of its own, what concerns the connection only (4.1.18), and
/// `Proxy`, because many programs take `HTTP_PROXY` for a setting.
const WITHHELD: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::PROXY_AUTHORIZATION,
];

/// Fields of a script that are the server's affair (6.3.4). It marks the page's
/// end itself.
const REMOVED: [HeaderName; 5] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What the path of a request names.
pub(crate) struct Target {
    /// A file's name in the folder of the scripts.
    pub(crate) script: OsString,
    /// What follows it.
    path_info: OsString,
}

impl Target {
    /// The first part of the path is the script. No part of it may lead to
    /// another folder, once it is decoded.
    pub(crate) fn parse(path: &str) -> Result<Target, StatusCode> {
        let (mut script, mut path_info) = (OsString::new(), OsString::new());
        for (index, part) in path.split('/').skip(1).enumerate() {
            let part: Vec<u8> = percent_decode_str(part).collect();
            if [&b"."[..], b".."].contains(&&part[..]) || part.iter().any(|it| b"/\0".contains(it))
            {
                return Err(StatusCode::BAD_REQUEST);
            }
            let part = OsString::from_vec(part);
            match index {
                0 => script = part,
                _ => path_info.extend([OsStr::new("/"), &part]),
            }
        }
        match script.is_empty() {
            true => Err(StatusCode::NOT_FOUND),
            false => Ok(Target { script, path_info }),
        }
    }

    /// The request's meta-variables (4.1). Those of the server are the same for
    /// all requests.
    pub(crate) fn variables(
        &self,
        dir: &Path,
        client: SocketAddr,
        parts: &Parts,
    ) -> Vec<(String, OsString)> {
        let mut variables = Vec::new();
        let mut set = |name: &str, value: OsString| variables.push((name.to_owned(), value));
        set("REMOTE_ADDR", client.ip().to_string().into());
        set("REQUEST_METHOD", parts.method.as_str().into());
        set("SERVER_PROTOCOL", format!("{:?}", parts.version).into());
        set("QUERY_STRING", parts.uri.query().unwrap_or_default().into());
        set("SCRIPT_NAME", concat([OsStr::new("/"), &self.script]));
        if !self.path_info.is_empty() {
            set("PATH_INFO", self.path_info.clone());
            set(
                "PATH_TRANSLATED",
                concat([dir.as_os_str(), &self.path_info]),
            );
        }
        for (variable, field) in [
            ("CONTENT_LENGTH", header::CONTENT_LENGTH),
            ("CONTENT_TYPE", header::CONTENT_TYPE),
        ] {
            if let Some(value) = parts.headers.get(field) {
                set(variable, OsString::from_vec(value.as_bytes().to_vec()));
            }
        }
        for field in parts.headers.keys() {
            if let Some(name) = variable(field) {
                set(&name, joined(&parts.headers, field));
            }
        }
        variables
    }
}

/// A field's variable; `None` if scripts do not get it.
fn variable(field: &HeaderName) -> Option<String> {
    // `Some_Field` is not to be mistaken for `Some-Field`.
    let withheld = WITHHELD.contains(field) || field == "proxy" || field.as_str().contains('_');
    let name = field.as_str().to_ascii_uppercase().replace('-', "_");
    (!withheld).then(|| format!("HTTP_{name}"))
}

/// A field that has come more than once is one list.
fn joined(headers: &HeaderMap, field: &HeaderName) -> OsString {
    let values: Vec<_> = headers
        .get_all(field)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let separator: &[u8] = if field == header::COOKIE {
        b"; "
    } else {
        b", "
    };
    OsString::from_vec(values.join(separator))
}

fn concat(parts: [&OsStr; 2]) -> OsString {
    parts.into_iter().collect()
}

/// Where a script's header ends and its page begins: after the first empty line.
pub(crate) fn end_of_header(text: &[u8]) -> Option<usize> {
    let mut end = 0;
    for line in text.split_inclusive(|it| *it == b'\n') {
        end += line.len();
        if [&b"\n"[..], b"\r\n"].contains(&line) {
            return Some(end);
        }
    }
    None
}

/// A script's header.
pub(crate) struct Head {
    status: Option<StatusCode>,
    pub(crate) fields: HeaderMap,
}

impl Head {
    /// Lines end with LF, or CR and LF (6.3). `None` if it breaks a rule.
    pub(crate) fn parse(text: &[u8]) -> Option<Head> {
        let (mut status, mut fields) = (None, HeaderMap::new());
        for line in text.split(|it| *it == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|it| *it == b':')?;
            let (name, value) = (
                HeaderName::from_bytes(&line[..colon]).ok()?,
                &line[colon + 1..],
            );
            let value = value.trim_ascii();
            if name == "status" {
                let code = value.split(|it| *it == b' ').next()?;
                let code = StatusCode::from_bytes(code).ok()?;
                if code.is_informational() || status.replace(code).is_some() {
                    return None;
                }
                continue;
            }
            let once = [header::CONTENT_TYPE, header::LOCATION];
            if once.contains(&name) && fields.contains_key(&name) {
                return None;
            }
            if !REMOVED.contains(&name) {
                fields.append(name, HeaderValue::from_bytes(value).ok()?);
            }
        }
        let needed = [header::CONTENT_TYPE, header::LOCATION];
        let complete = status.is_some() || needed.iter().any(|it| fields.contains_key(it));
        complete.then_some(Head { status, fields })
    }

    /// The response's status: what the script says, or what follows from the rest
    /// (6.2).
    pub(crate) fn status(&self) -> StatusCode {
        self.status
            .unwrap_or_else(|| match self.fields.contains_key(header::LOCATION) {
                true => StatusCode::FOUND,
                false => StatusCode::OK,
            })
    }

    /// The page of this server that is to be shown in place of the script's. One
    /// that comes with a status is for the client to go to.
    pub(crate) fn local_redirect(&self) -> Option<&str> {
        let page = self.fields.get(header::LOCATION)?.to_str().ok()?;
        (self.status.is_none() && page.starts_with('/')).then_some(page)
    }
}

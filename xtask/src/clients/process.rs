//! Other people's programs: their output, servers that are stopped when they are done with.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

type Anything = Box<dyn std::error::Error>;

/// A program of the environment that `python` is in.
pub fn program(python: &Path, name: &str) -> Command {
    Command::new(python.with_file_name(name))
}

/// What a program that ended well has written.
pub fn output(command: &mut Command) -> Result<Output, Anything> {
    let output = command.output().map_err(|e| format!("cannot start {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// A server on this machine, stopped when it is dropped.
pub struct Server {
    process: Child,
    pub port: u16,
}

impl Server {
    /// Starts `command`, to which a free port was given, and waits until somebody listens there.
    pub fn start(port: u16, command: &mut Command) -> Result<Self, Anything> {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|e| format!("cannot start {command:?}: {e}"))?;
        let mut server = Server { process, port };
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.process.try_wait()? {
                return Err(format!("{command:?} ended with {status}").into());
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("{command:?} does not listen").into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    /// The body of the answer to a request for this path.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, Anything> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", self.port)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("an answer without a body")?;
        let status = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).lines().next().unwrap_or_default().to_owned();
        if !status.contains(" 200") {
            return Err(format!("GET {path}: {status}").into());
        }
        Ok(answer.split_off(end + 4))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended already
        let _ = self.process.wait();
    }
}

/// How long a program may take to start or to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A port that nobody listens on.
pub fn free_port() -> Result<u16, Anything> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

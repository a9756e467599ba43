//! The wire between devices and the hub: it passes HTTP on, counts every byte of it, and lies
//! when told to.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What passed: a request and its answer, as bytes on the wire.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Method and path.
    pub what: String,
    /// The request: head and body.
    pub request_bytes: (usize, usize),
    /// The answer: head and body.
    pub answer_bytes: (usize, usize),
}

/// What a device asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and path.
    pub what: String,
    /// The body.
    pub body: Vec<u8>,
}

type Lie = Box<dyn FnMut(&Asked, &mut Vec<u8>) + Send>;

struct Inner {
    upstream: watch::Sender<Option<SocketAddr>>,
    passed: Mutex<Vec<Passed>>,
    lie: Mutex<Option<Lie>>,
}

/// A wire.
#[derive(Clone)]
pub struct Wire {
    inner: Arc<Inner>,
    address: SocketAddr,
}

impl Wire {
    /// A wire that leads nowhere yet.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            upstream: watch::Sender::new(None),
            passed: Mutex::default(),
            lie: Mutex::default(),
        });
        let wire = Self {
            inner: Arc::clone(&inner),
            address,
        };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let inner = Arc::clone(&inner);
                tokio::spawn(async move {
                    let mut upstream = inner.upstream.subscribe();
                    let Some(hub) = *upstream.borrow_and_update() else {
                        return;
                    };
                    // A connection that breaks is a device's daily bread.
                    tokio::select! {
                        _ = upstream.changed() => {}
                        _ = inner.carry(socket, hub) => {}
                    }
                });
            }
        });
        wire
    }

    /// Where devices reach it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads to this hub from now on; none: nowhere. Open connections are cut.
    pub fn lead_to(&self, hub: Option<SocketAddr>) {
        self.inner.upstream.send_replace(hub);
    }

    /// Changes the bodies of answers as they pass.
    pub fn lie(&self, lie: impl FnMut(&Asked, &mut Vec<u8>) + Send + 'static) {
        *self.inner.lie.lock().unwrap() = Some(Box::new(lie));
    }

    /// Passes everything on as it is.
    pub fn be_honest(&self) {
        *self.inner.lie.lock().unwrap() = None;
    }

    /// What passed since the last call.
    pub fn take_passed(&self) -> Vec<Passed> {
        std::mem::take(&mut self.inner.passed.lock().unwrap())
    }
}

/// A message of HTTP/1.1, whole.
struct Message {
    head: Vec<u8>,
    first_line: String,
    /// None: as long as the connection lasts.
    body: Option<Vec<u8>>,
}

fn is_bodyless(what: &str, first_line: &str) -> bool {
    let status = first_line.split(' ').nth(1).unwrap_or_default();
    what.starts_with("HEAD ") || matches!(status, "204" | "304") || status.starts_with('1')
}

/// Reads a message; `answers` is what it answers, if it is an answer. None at the end.
async fn read(
    socket: &mut TcpStream,
    kept: &mut Vec<u8>,
    answers: Option<&str>,
) -> std::io::Result<Option<Message>> {
    let end = loop {
        if let Some(at) = kept.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(kept).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = kept.drain(..end).collect();
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let first_line = String::from_utf8_lossy(&head)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let declared = text.lines().find_map(|line| {
        let value = line.strip_prefix("content-length:")?;
        value.trim().parse::<usize>().ok()
    });
    let length = match (answers, declared) {
        (Some(what), _) if is_bodyless(what, &first_line) => Some(0),
        (_, Some(length)) => Some(length),
        (None, None) => Some(0),
        (Some(_), None) => None,
    };
    let Some(length) = length else {
        return Ok(Some(Message {
            head,
            first_line,
            body: None,
        }));
    };
    while kept.len() < length {
        if socket.read_buf(kept).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(Message {
        head,
        first_line,
        body: Some(kept.drain(..length).collect()),
    }))
}

/// The head with another length.
fn with_length(head: &[u8], length: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let mut out = String::new();
    for line in text.trim_end().lines() {
        if line.to_lowercase().starts_with("content-length:") {
            write!(out, "content-length: {length}\r\n").expect("a string takes all");
        } else {
            out.push_str(line.trim_end());
            out.push_str("\r\n");
        }
    }
    out.push_str("\r\n");
    out.into_bytes()
}

impl Inner {
    async fn carry(&self, mut device: TcpStream, hub: SocketAddr) -> std::io::Result<()> {
        let mut hub = TcpStream::connect(hub).await?;
        device.set_nodelay(true)?;
        hub.set_nodelay(true)?;
        let (mut asked_kept, mut answer_kept) = (Vec::new(), Vec::new());
        while let Some(request) = read(&mut device, &mut asked_kept, None).await? {
            let mut parts = request.first_line.split(' ');
            let what = format!(
                "{} {}",
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default()
            );
            let body = request.body.unwrap_or_default();
            hub.write_all(&[request.head.as_slice(), &body].concat())
                .await?;
            let Some(answer) = read(&mut hub, &mut answer_kept, Some(&what)).await? else {
                return Ok(());
            };
            let Some(mut told) = answer.body else {
                device.write_all(&answer.head).await?;
                device.write_all(&answer_kept).await?;
                copy_bidirectional(&mut device, &mut hub).await?;
                return Ok(());
            };
            self.passed.lock().unwrap().push(Passed {
                what: what.clone(),
                request_bytes: (request.head.len(), body.len()),
                answer_bytes: (answer.head.len(), told.len()),
            });
            let mut head = answer.head;
            if let Some(lie) = self.lie.lock().unwrap().as_mut() {
                lie(&Asked { what, body }, &mut told);
                if !head.to_ascii_lowercase().starts_with(b"http/1.1 2") {
                    told.clear();
                }
                head = with_length(&head, told.len());
            }
            device.write_all(&[head.as_slice(), &told].concat()).await?;
        }
        Ok(())
    }
}

//! A bad line: a relay that cuts, resets, swallows, dawdles, holds back and asks for a login of its
//! own, as cellars and hotels do. It knows nothing of what passes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Every connection breaks after so many bytes from the device; the hub gets those.
    CutAfter {
        /// Bytes of a connection.
        bytes: u64,
    },
    /// Every connection breaks after so many bytes of answers.
    CutAnswersAfter {
        /// Bytes of a connection.
        bytes: u64,
    },
    /// The hub gets every request; no answer ever comes back.
    AnswersLost,
    /// Connections are reset as soon as they are there.
    Reset,
    /// Bytes trickle in pieces of this size, both ways.
    Crumbs {
        /// Bytes of a piece.
        bytes: usize,
    },
    /// So fast and no faster, both ways: whoever sends has to wait for who reads.
    Slow(Speed),
    /// Connections stand, and nothing ever comes of what is said on them; nobody hangs up.
    HalfOpen,
    /// An office's proxy: it collects what comes and passes it on when nothing more does. Of an
    /// event stream nothing passes before its end.
    Buffering,
    /// A hotel's portal: 200 and a page of HTML, whatever was asked.
    Portal,
}

/// How slow a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Of each direction.
    pub bytes_per_s: u64,
    /// Before the first byte after a pause, at least.
    pub latency_ms: u64,
    /// More of that, now and then.
    pub jitter_ms: u64,
}

const PORTAL: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 43\r\n\
    connection: close\r\n\r\n<html><body>Bitte einloggen</body></html>\r\n";

/// After so long without a byte, nothing more comes for now.
const BETWEEN_PIECES: Duration = Duration::from_millis(20);

struct Inner {
    hub: SocketAddr,
    fault: Mutex<Fault>,
    up_bytes: AtomicU64,
    cuts: AtomicU64,
}

/// A line to a hub.
#[derive(Clone)]
pub struct Line {
    inner: Arc<Inner>,
    /// Where it begins.
    pub address: SocketAddr,
}

impl Line {
    /// A good line to a hub.
    pub async fn to(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            hub,
            fault: Mutex::new(Fault::None),
            up_bytes: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        });
        let line = Self {
            inner: Arc::clone(&inner),
            address,
        };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let inner = Arc::clone(&inner);
                // A connection that breaks is a device's daily bread.
                tokio::spawn(async move { drop(inner.carry(socket).await) });
            }
        });
        line
    }

    /// From now on, for new connections.
    pub fn suffers(&self, fault: Fault) {
        *self.inner.fault.lock().unwrap() = fault;
    }

    /// Bytes of devices that it carried since the last call.
    pub fn take_up_bytes(&self) -> u64 {
        self.inner.up_bytes.swap(0, Ordering::Relaxed)
    }

    /// Connections that it broke since the last call.
    pub fn take_cuts(&self) -> u64 {
        self.inner.cuts.swap(0, Ordering::Relaxed)
    }
}

impl Inner {
    async fn carry(&self, mut device: TcpStream) -> std::io::Result<()> {
        let fault = *self.fault.lock().unwrap();
        match fault {
            Fault::Reset => {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return device.set_zero_linger();
            }
            Fault::Portal => {
                // Whoever is told before it asked doesn't listen.
                let _asked = device.read(&mut [0; 4096]).await?;
                device.write_all(PORTAL).await?;
                return device.shutdown().await;
            }
            Fault::HalfOpen => {
                while device.read(&mut [0; 4096]).await? > 0 {}
                return Ok(());
            }
            _ => {}
        }
        let mut hub = TcpStream::connect(self.hub).await?;
        device.set_nodelay(true)?;
        hub.set_nodelay(true)?;
        let whole = Way {
            limit_bytes: u64::MAX,
            piece_bytes: 64 * 1024,
            pace: Pace::AsItComes,
        };
        let cut = |limit_bytes| Way {
            limit_bytes,
            ..whole
        };
        let (up, down) = match fault {
            Fault::CutAfter { bytes } => (cut(bytes), whole),
            Fault::CutAnswersAfter { bytes } => (whole, cut(bytes)),
            Fault::AnswersLost => (whole, cut(0)),
            Fault::Crumbs { bytes } => {
                let crumbs = Way {
                    piece_bytes: bytes,
                    ..whole
                };
                (crumbs, crumbs)
            }
            Fault::Slow(speed) => {
                let slow = Way {
                    // So many that each takes 20 ms.
                    piece_bytes: usize::try_from(speed.bytes_per_s / 50).unwrap().max(1),
                    pace: Pace::Slow(speed),
                    ..whole
                };
                (slow, slow)
            }
            Fault::Buffering => {
                let held = Way {
                    pace: Pace::Held,
                    ..whole
                };
                (held, held)
            }
            _ => (whole, whole),
        };
        let (mut from_device, mut to_device) = device.split();
        let (mut from_hub, mut to_hub) = hub.split();
        let up = self.pass(&mut from_device, &mut to_hub, up, Some(&self.up_bytes));
        let down = self.pass(&mut from_hub, &mut to_device, down, None);
        // When one direction breaks, both do.
        let broken = tokio::try_join!(up, down).is_err();
        if broken && matches!(fault, Fault::CutAfter { .. }) {
            drop(device);
            // What was on its way still comes to the hub.
            hub.shutdown().await?;
            hub.read_to_end(&mut Vec::new()).await?;
        }
        Ok(())
    }

    /// Passes bytes on until the end, or until the limit breaks the connection.
    async fn pass(
        &self,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
        way: Way,
        counter: Option<&AtomicU64>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; way.piece_bytes];
        let mut passed_bytes = 0;
        let mut pauses = 0;
        loop {
            let since = Instant::now();
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return to.shutdown().await;
            }
            let room = usize::try_from(way.limit_bytes - passed_bytes).unwrap_or(usize::MAX);
            let kept = count.min(room);
            let mut bytes = buffer[..kept].to_vec();
            match way.pace {
                Pace::AsItComes => {}
                Pace::Slow(speed) => {
                    if pauses == 0 || since.elapsed() > BETWEEN_PIECES {
                        pauses += 1;
                        tokio::time::sleep(speed.latency(pauses)).await;
                    }
                    tokio::time::sleep(speed.time_for(kept)).await;
                }
                Pace::Held => collect(from, &mut bytes).await?,
            }
            to.write_all(&bytes).await?;
            passed_bytes += bytes.len() as u64;
            if let Some(counter) = counter {
                counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            if kept < count {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
        }
    }
}

/// How one direction of a connection passes bytes.
#[derive(Clone, Copy)]
struct Way {
    limit_bytes: u64,
    piece_bytes: usize,
    pace: Pace,
}

#[derive(Clone, Copy)]
enum Pace {
    AsItComes,
    Slow(Speed),
    /// Together with what follows it.
    Held,
}

impl Speed {
    fn latency(self, pauses: u64) -> Duration {
        Duration::from_millis(self.latency_ms + pauses * 7 % (self.jitter_ms + 1))
    }

    fn time_for(self, bytes: usize) -> Duration {
        Duration::from_micros(bytes as u64 * 1_000_000 / self.bytes_per_s)
    }
}

/// Adds all that comes until nothing more does; of an event stream, until its end.
async fn collect(
    from: &mut (impl AsyncReadExt + Unpin),
    held: &mut Vec<u8>,
) -> std::io::Result<()> {
    loop {
        let endless = is_event_stream(held);
        let more = from.read_buf(held);
        let more = if endless {
            more.await?
        } else {
            match tokio::time::timeout(BETWEEN_PIECES, more).await {
                Ok(more) => more?,
                Err(_) => return Ok(()),
            }
        };
        if more == 0 {
            return Ok(());
        }
    }
}

fn is_event_stream(answer: &[u8]) -> bool {
    let head = &answer[..answer.len().min(1024)];
    String::from_utf8_lossy(head).contains("content-type: text/event-stream")
}

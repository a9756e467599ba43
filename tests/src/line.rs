//! A bad line: a relay that cuts, resets, swallows and asks for a login of its own, as cellars and
//! hotels do. It knows nothing of what passes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

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
    /// A hotel's portal: 200 and a page of HTML, whatever was asked.
    Portal,
}

const PORTAL: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 43\r\n\
    connection: close\r\n\r\n<html><body>Bitte einloggen</body></html>\r\n";

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
            _ => {}
        }
        let mut hub = TcpStream::connect(self.hub).await?;
        device.set_nodelay(true)?;
        hub.set_nodelay(true)?;
        let (up_limit, down_limit) = match fault {
            Fault::CutAfter { bytes } => (bytes, u64::MAX),
            Fault::CutAnswersAfter { bytes } => (u64::MAX, bytes),
            Fault::AnswersLost => (u64::MAX, 0),
            _ => (u64::MAX, u64::MAX),
        };
        let piece = match fault {
            Fault::Crumbs { bytes } => bytes,
            _ => 64 * 1024,
        };
        let (mut from_device, mut to_device) = device.split();
        let (mut from_hub, mut to_hub) = hub.split();
        let up = self.pass(&mut from_device, &mut to_hub, (up_limit, piece), true);
        let down = self.pass(&mut from_hub, &mut to_device, (down_limit, piece), false);
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
        (limit, piece): (u64, usize),
        up: bool,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; piece];
        let mut passed = 0;
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return to.shutdown().await;
            }
            let room = usize::try_from(limit - passed).unwrap_or(usize::MAX);
            let kept = count.min(room);
            to.write_all(&buffer[..kept]).await?;
            passed += kept as u64;
            if up {
                self.up_bytes.fetch_add(kept as u64, Ordering::Relaxed);
            }
            if kept < count {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
        }
    }
}

//! Logins, by the hashes of their tokens.

use rusqlite::{TransactionBehavior, params};

use super::{Sqlite, lock};
use crate::storage::rows::{id, number, one, run};
use crate::storage::{Session, Sessions, Stored};

/// Logins kept per device.
const SESSIONS_PER_DEVICE: u32 = 8;

impl Sessions for Sqlite {
    fn put_session(&self, token_hash: &[u8; 32], session: &Session) -> Stored<()> {
        let mut writer = lock(&self.writer);
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        run(
            &tx,
            "INSERT INTO sessions (token_hash, company, device, until_ms) VALUES (?1, ?2, ?3, ?4)",
            params![
                token_hash,
                session.company.0,
                session.device.0,
                session.until_ms.cast_signed()
            ],
        )?;
        run(
            &tx,
            "DELETE FROM sessions WHERE token_hash IN (
                SELECT token_hash FROM sessions WHERE company = ?1 AND device = ?2
                ORDER BY until_ms DESC LIMIT -1 OFFSET ?3)",
            params![session.company.0, session.device.0, SESSIONS_PER_DEVICE],
        )?;
        Ok(tx.commit()?)
    }

    fn session(&self, token_hash: &[u8; 32]) -> Stored<Option<Session>> {
        self.read(|connection| {
            one(
                connection,
                "SELECT company, device, until_ms FROM sessions WHERE token_hash = ?1",
                [token_hash],
                |row| {
                    let (company, device) = (id(row, 0)?, id(row, 1)?);
                    Ok(Session {
                        company,
                        device,
                        until_ms: number(row, 2)?,
                    })
                },
            )
        })
    }

    fn drop_sessions(&self, now_ms: u64) -> Stored<()> {
        run(
            &lock(&self.writer),
            "DELETE FROM sessions WHERE until_ms <= ?1",
            [now_ms.cast_signed()],
        )?;
        Ok(())
    }
}

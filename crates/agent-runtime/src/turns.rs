//! Who may talk to a server now: one connection of ours at a time to each, whatever it is for. A server of a hundred
//! thousand endpoints has to count on that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

/// The servers by their keys, shared by all that connects to them.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<BTreeMap<String, Arc<Gate<()>>>>>);

/// The turn at a server; it ends when this is dropped, so after the connection.
pub type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits for the turn at a server: those who wait come in the order in which they asked.
    pub async fn take(&self, server: &str) -> Turn {
        self.gate(server).lock_owned().await
    }

    fn gate(&self, server: &str) -> Arc<Gate<()>> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that nobody talks to is not kept: configurations come and go.
        gates.retain(|other, gate| other == server || Arc::strong_count(gate) > 1);
        Arc::clone(gates.entry(server.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_at_each_server_and_in_order() {
        let turns = Turns::default();
        let first = turns.take("a:443").await;
        let other = turns.take("b:443").await;
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut waiting = tokio::task::JoinSet::new();
        for number in [2, 3] {
            let (turns, told) = (turns.clone(), told.clone());
            waiting.spawn(async move {
                let turn = turns.take("a:443").await;
                told.send(number).expect("the test listens");
                drop(turn);
            });
            // So that it asks before the next one.
            tokio::task::yield_now().await;
        }
        assert!(timeout(Duration::from_millis(50), order.recv()).await.is_err(), "the first is not done");
        drop(first);
        assert_eq!((order.recv().await, order.recv().await), (Some(2), Some(3)));
        drop(other);
        drop(turns.take("c:443").await);
        assert_eq!(turns.0.lock().expect("nobody panicked").len(), 1, "the others are forgotten");
    }
}

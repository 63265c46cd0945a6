//! Hands people's orders to the machines of their targets, and the answers back to the control socket.

use super::Daemon;
use super::control::{Order, Request};
use plimsoll_core::cycle::{Command, Event};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Daemon {
    pub(super) fn order(&mut self, request: Request) {
        let keys: Vec<Arc<str>> = match &request.target {
            Some(name) => self.targets.keys().filter(|key| ***key == **name).cloned().collect(),
            None => self.targets.keys().cloned().collect(),
        };
        let Some((last, rest)) = keys.split_last() else {
            let known: Vec<&str> = self.targets.keys().map(|key| &**key).collect();
            let name = request.target.as_deref().unwrap_or("any");
            let _ =
                request.reply.send(Err(format!("there is no target {name}; known: {}", known.join(", "))));
            return;
        };
        for key in rest {
            self.say(key, &request.who, request.order.clone(), None);
        }
        self.say(&last.clone(), &request.who, request.order, Some(request.reply));
    }

    fn say(
        &mut self,
        key: &Arc<str>,
        who: &str,
        order: Order,
        reply: Option<oneshot::Sender<Result<String, String>>>,
    ) {
        self.commands += 1;
        if let Some(reply) = reply {
            self.replies.insert(self.commands, reply);
        }
        let command = Command { id: self.commands, who: who.to_owned(), order };
        self.deliver(key, None, Event::Said(command));
        // A machine that stands still answers nobody.
        let frozen = self.targets.get(key).and_then(|target| target.frozen.clone());
        if let Some((why, reply)) = frozen.and_then(|why| Some((why, self.replies.remove(&self.commands)?))) {
            let _ = reply.send(Err(format!("{key}: {why}")));
        }
    }
}

//! SCRAM (RFC 5802, 7677): proves that both sides know the password, without sending it. Pure.

use super::Mechanism;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// As many rounds as a server may ask for; Kafka itself takes at most 16 384.
const MOST_ROUNDS: u32 = 100_000;
/// A channel is not bound, and no other identity is asked for.
const HEADER: &str = "n,,";
/// The same in base64, as the last message repeats it.
const HEADER_AGAIN: &str = "biws";

/// One login, after the first message.
pub(super) struct Login {
    hash: Hash,
    bare: String,
    nonce: String,
}

/// The functions of one mechanism.
#[derive(Clone, Copy)]
struct Hash {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

/// The last message, and what the server has to answer to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) message: String,
    answer: String,
}

fn hash(mechanism: Mechanism) -> Option<Hash> {
    match mechanism {
        Mechanism::Plain => None,
        Mechanism::ScramSha256 => Some(Hash {
            digest: &digest::SHA256,
            hmac: hmac::HMAC_SHA256,
            pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256,
        }),
        Mechanism::ScramSha512 => Some(Hash {
            digest: &digest::SHA512,
            hmac: hmac::HMAC_SHA512,
            pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512,
        }),
    }
}

impl Login {
    /// A login with the first message; none where the mechanism is no SCRAM. The nonce must never have been used.
    pub(super) fn begin(mechanism: Mechanism, user: &str, nonce: &str) -> Option<(Self, String)> {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        let first = format!("{HEADER}{bare}");
        Some((Self { hash: hash(mechanism)?, bare, nonce: nonce.to_owned() }, first))
    }

    /// The last message, after the server's first.
    pub(super) fn prove(&self, password: &str, challenge: &str) -> Result<Proof, String> {
        let part = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key));
        let nonce = part("r=").filter(|nonce| nonce.starts_with(&self.nonce) && *nonce != self.nonce);
        let nonce = nonce.ok_or("the server's nonce does not continue ours")?;
        let salt = part("s=").and_then(|salt| BASE64.decode(salt).ok()).ok_or("the server gives no salt")?;
        let rounds = part("i=").and_then(|rounds| rounds.parse::<NonZeroU32>().ok());
        let rounds = rounds.filter(|rounds| rounds.get() <= MOST_ROUNDS);
        let rounds =
            rounds.ok_or_else(|| format!("the server asks for no number of rounds up to {MOST_ROUNDS}"))?;
        let mut salted = vec![0; self.hash.digest.output_len()];
        pbkdf2::derive(self.hash.pbkdf2, rounds, &salt, password.as_bytes(), &mut salted);
        let ending = format!("c={HEADER_AGAIN},r={nonce}");
        let all = format!("{},{challenge},{ending}", self.bare);
        let client_key = self.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest, client_key.as_ref());
        let signature = self.sign(stored_key.as_ref(), all.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = self.sign(&salted, b"Server Key");
        let answer = self.sign(server_key.as_ref(), all.as_bytes());
        Ok(Proof {
            message: format!("{ending},p={}", BASE64.encode(proof)),
            answer: format!("v={}", BASE64.encode(answer.as_ref())),
        })
    }

    fn sign(&self, key: &[u8], text: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hash.hmac, key), text)
    }
}

impl Proof {
    /// Whether the server knows the password, too: whoever just says yes is not the one that we were to talk to.
    pub(super) fn is_answered_by(&self, answer: &str) -> bool {
        answer.split(',').next() == Some(self.answer.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange that RFC 7677 prints.
    #[test]
    fn the_exchange_of_the_standard_comes_out_as_printed() {
        let (login, first) =
            Login::begin(Mechanism::ScramSha256, "user", "rOprNGfwEbeRWgbNEkqO").expect("it is a SCRAM");
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = login.prove("pencil", challenge).expect("a good challenge");
        let proved = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                      p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(proof.message, proved);
        assert!(proof.is_answered_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proof.is_answered_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="), "an impostor");
    }

    #[test]
    fn a_bad_challenge_is_refused() {
        let (login, _) = Login::begin(Mechanism::ScramSha512, "a", "abc").expect("it is a SCRAM");
        for challenge in [
            "",
            "r=abc,s=AAAA,i=4096",
            "r=xyz,s=AAAA,i=4096",
            "r=abcd,i=4096",
            "r=abcd,s=AAAA,i=0",
            "r=abcd,s=AAAA,i=1000000000",
        ] {
            assert!(login.prove("secret", challenge).is_err(), "{challenge}");
        }
    }

    #[test]
    fn a_name_cannot_forge_a_part_of_a_message() {
        let (_, first) = Login::begin(Mechanism::ScramSha512, "a,r=b", "abc").expect("it is a SCRAM");
        assert_eq!(first, "n,,n=a=2Cr=3Db,r=abc");
        assert!(Login::begin(Mechanism::Plain, "a", "abc").is_none());
    }
}

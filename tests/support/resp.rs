//! A plain Redis client that shares no code with the venue's.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    Number(i64),
    Nothing,
    List(Vec<Self>),
    Error(String),
}

impl Reply {
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            other => panic!("{other:?} is no list"),
        }
    }

    fn pairs(&self) -> BTreeMap<String, String> {
        let texts = self.list();
        texts
            .chunks(2)
            .map(|pair| (pair[0].text().to_owned(), pair[1].text().to_owned()))
            .collect()
    }
}

pub struct Resp(BufReader<TcpStream>);

impl Resp {
    /// Of a URL without a password.
    pub fn connect(url: &str) -> Self {
        let address = url.strip_prefix("redis://").unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self(BufReader::new(socket))
    }

    pub fn send(&mut self, words: &[&str]) {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    pub fn ask(&mut self, words: &[&str]) -> Reply {
        self.send(words);
        self.reply()
    }

    pub fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        let length = || rest.parse::<i64>().unwrap();
        match kind {
            "+" => Reply::Text(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Number(length()),
            "$" if length() < 0 => Reply::Nothing,
            "$" => {
                let mut bytes = vec![0; length() as usize + 2];
                self.0.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Reply::Text(String::from_utf8(bytes).unwrap())
            }
            "*" if length() < 0 => Reply::Nothing,
            "*" => Reply::List((0..length()).map(|_| self.reply()).collect()),
            other => panic!("{other:?} begins no reply"),
        }
    }

    pub fn hash(&mut self, key: &str) -> BTreeMap<String, String> {
        self.ask(&["HGETALL", key]).pairs()
    }

    /// Ids and fields of a stream.
    pub fn stream(&mut self, key: &str) -> Vec<(String, BTreeMap<String, String>)> {
        let all = self.ask(&["XRANGE", key, "-", "+"]);
        let records = all.list().iter().map(Reply::list);
        records
            .map(|record| (record[0].text().to_owned(), record[1].pairs()))
            .collect()
    }
}

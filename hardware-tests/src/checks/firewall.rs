//! What can be reached from outside.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::Context;
use crate::Failure;
use crate::board::Board;
use crate::vm::CLOSED_PORTS;

/// Ports on which something may listen on all addresses (DESIGN.md, section 7): SSH, RPC, REST and dashboard, metrics,
/// registry.
const TCP: [u16; 6] = [22, 26657, 8080, 26660, 8000, 8053];
/// The same for UDP: node to node, mDNS, DHCP's client (both versions).
const UDP: [u16; 4] = [26656, 5353, 68, 546];

/// Only listed ports are listened on.
pub fn listeners(board: &mut Board, _: &Context) -> Result<String, Failure> {
    let tcp = board.run("cat /proc/net/tcp /proc/net/tcp6")?;
    let udp = board.run("cat /proc/net/udp /proc/net/udp6")?;
    // 0A: listening. An unconnected UDP socket is in state 07.
    let (tcp, udp) = (open_ports(&tcp, "0A"), open_ports(&udp, "07"));
    if let Some(port) = tcp.iter().find(|port| !TCP.contains(port)) {
        return Err(format!("something listens on TCP port {port}").into());
    }
    if let Some(port) = udp.iter().find(|port| !UDP.contains(port)) {
        return Err(format!("something listens on UDP port {port}").into());
    }
    if !tcp.contains(&22) || !udp.contains(&26656) {
        return Err(format!("SSH and the node must listen; TCP {tcp:?}, UDP {udp:?}").into());
    }
    Ok(format!("TCP {tcp:?}, UDP {udp:?}"))
}

/// Ports of sockets in a state, in the kernel's table, but for those on loopback.
fn open_ports(table: &str, state: &str) -> BTreeSet<u16> {
    table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (address, port) = words.nth(1)?.split_once(':')?;
            // 127.0.0.0/8 and ::1, in the byte order of the machine.
            let loopback = (address.len() == 8 && address.ends_with("7F"))
                || address == "00000000000000000000000001000000";
            let open = words.nth(1) == Some(state) && !loopback;
            open.then(|| u16::from_str_radix(port, 16).ok())?
        })
        .collect()
}

/// Somebody listens on ports that are not listed: from inside they answer, from outside none does.
pub fn closed(board: &mut Board, _: &Context) -> Result<String, Failure> {
    let outside = board.vm()?.ports.closed;
    let ports = CLOSED_PORTS.map(|port| port.to_string()).join(" ");
    board.run_as_root(&format!(
        "cd /tmp; rm -f listeners; for port in {ports}; do \
         (while true; do echo inside | nc -l -p $port; done) >/dev/null 2>&1 & echo $! >>listeners; done; sleep 1"
    ))?;
    let silent = board.run(&format!(
        "for port in {ports}; do nc -w 3 127.0.0.1 $port </dev/null | grep -q inside || echo $port; done"
    ))?;
    // At once: what is closed keeps whoever asks waiting.
    let asked = outside.map(|port| thread::spawn(move || ask(port)));
    let answers = asked.map(|answer| answer.join().unwrap_or_default());
    board.run_as_root("kill $(cat /tmp/listeners); rm /tmp/listeners; killall nc 2>/dev/null; true")?;
    if !silent.is_empty() {
        return Err(format!("no listener answered on the machine itself, on port {silent:?}").into());
    }
    let open = CLOSED_PORTS.iter().zip(answers).find(|(_, answer)| answer.contains("inside"));
    if let Some((port, _)) = open {
        return Err(format!("port {port} of the machine answers from outside").into());
    }
    Ok(format!("TCP ports {ports} answer inside and not outside"))
}

/// What a port of this host says within some seconds.
fn ask(port: u16) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else {
        return String::new();
    };
    let mut said = [0; 64];
    // QEMU takes every connection; whether the machine does shows in what comes back.
    let read = stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .and_then(|()| stream.write_all(b"hello\n"))
        .and_then(|()| stream.read(&mut said));
    String::from_utf8_lossy(&said[..read.unwrap_or(0)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             0: 00000000:0016 00000000:0000 0A 00000000:00000000\n\
             1: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
             2: 0100000A:6821 0200000A:9999 01 00000000:00000000\n\
             3: 00000000000000000000000000000000:6820 00000000000000000000000000000000:0000 07\n\
             4: 00000000000000000000000001000000:1234 00000000000000000000000000000000:0000 0A\n";
        assert_eq!(open_ports(table, "0A"), BTreeSet::from([22]));
        assert_eq!(open_ports(table, "07"), BTreeSet::from([26656]));
    }
}

"""Holds idle clients of a pooler: each has logged in (SCRAM-SHA-256) and run one statement.

Arguments: port, user, password, database, "plain" or "tls". Each line of stdin is a number of
clients to open, and is answered by the same number when they all stand. Ends when stdin ends.
"""

import base64
import functools
import hashlib
import hmac
import resource
import secrets
import socket
import ssl
import struct
import sys

PORT, USER, PASSWORD, DATABASE, TRANSPORT = sys.argv[1:]
SSL_REQUEST = struct.pack("!II", 8, 80877103)
PROTOCOL_3_0 = 196608
SASL, SASL_CONTINUE, SASL_FINAL = 10, 11, 12


@functools.cache
def salted_password(salt, iterations):
    """Slow by design, and the same for every client of a pooler."""
    return hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, iterations)


def digest(key, text):
    return hmac.digest(key, text.encode(), "sha256")


def message(tag, body):
    return tag + struct.pack("!I", len(body) + 4) + body


def receive(stream):
    header = stream.read(5)
    if len(header) < 5:
        sys.exit("the pooler closed the connection")
    body = stream.read(struct.unpack("!I", header[1:])[0] - 4)
    if header[:1] == b"E":
        sys.exit("refused: " + body.replace(b"\0", b" ").decode(errors="replace"))
    return header[:1], body


def open_client(tls):
    client = socket.create_connection(("127.0.0.1", int(PORT)), timeout=30)
    if tls:
        client.sendall(SSL_REQUEST)
        if client.recv(1) != b"S":
            sys.exit("the pooler has no TLS")
        client = tls.wrap_socket(client)
    parameters = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    client.sendall(struct.pack("!II", len(parameters) + 8, PROTOCOL_3_0) + parameters)
    with client.makefile("rb") as stream:
        first = "n=,r=" + secrets.token_urlsafe(18)
        both = ""
        while True:
            tag, body = receive(stream)
            step = struct.unpack("!I", body[:4])[0] if tag == b"R" else None
            if step == SASL:
                initial = b"n,," + first.encode()
                mechanism = b"SCRAM-SHA-256\0" + struct.pack("!I", len(initial))
                client.sendall(message(b"p", mechanism + initial))
            elif step == SASL_CONTINUE:
                answer = body[4:].decode()
                fields = dict(field.split("=", 1) for field in answer.split(","))
                last = "c=biws,r=" + fields["r"]
                both = ",".join([first, answer, last])
                salted = salted_password(base64.b64decode(fields["s"]), int(fields["i"]))
                key = digest(salted, "Client Key")
                signature = digest(hashlib.sha256(key).digest(), both)
                proof = bytes(a ^ b for a, b in zip(key, signature))
                client.sendall(message(b"p", f"{last},p={base64.b64encode(proof).decode()}".encode()))
            elif step == SASL_FINAL:
                signature = digest(digest(salted, "Server Key"), both)
                if body[4:] != b"v=" + base64.b64encode(signature):
                    sys.exit("the pooler did not prove itself")
            elif tag == b"Z":
                break
        client.sendall(message(b"Q", b"SELECT 1\0"))
        while receive(stream)[0] != b"Z":
            pass
    return client


def main():
    # A socket each; the usual limit is 1024.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tls = None
    if TRANSPORT == "tls":
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    clients = []
    for line in sys.stdin:
        clients += [open_client(tls) for _ in range(int(line))]
        print(line.strip(), flush=True)


main()

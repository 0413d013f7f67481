

def selectDepot(clientConfig, masterDepot, alternativeDepots=[]):
    """Choose among the client's own depot and those that have the same products."""
    import ipaddress
    import random
    import socket
    import time
    from urllib.parse import urlparse

    depots = [masterDepot] + [d for d in alternativeDepots if d.id != masterDepot.id]

    def say(text):
        try:
            from opsicommon.logging import get_logger
            get_logger("opsiclientd").info("depot selection (%s): %s", MODE, text)
        except Exception:
            pass

    def place(depot):
        for attribute in ("depotWebdavUrl", "repositoryRemoteUrl", "depotRemoteUrl"):
            url = urlparse(getattr(depot, attribute, None) or "")
            if url.hostname:
                port = url.port or (445 if url.scheme in ("smb", "cifs") else 4447)
                return url.hostname, port
        return depot.id, 4447

    def latency(depot):
        """Seconds to open a connection, the best of three; None if it does not answer."""
        best = None
        for _ in range(3):
            begun = time.monotonic()
            try:
                socket.create_connection(place(depot), timeout=2).close()
            except OSError:
                break
            took = time.monotonic() - begun
            best = took if best is None else min(best, took)
        return best

    def own_addresses():
        found = []
        try:
            found.append(clientConfig["ipAddress"])  # where it is a mapping that has it
        except Exception:
            pass
        try:
            # No packet is sent: the system only says which address it would use.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect(place(masterDepot))
                found.append(probe.getsockname()[0])
        except OSError:
            pass
        addresses = []
        for value in found:
            try:
                addresses.append(ipaddress.ip_address(str(value)))
            except ValueError:
                pass
        return addresses

    def by_latency(candidates):
        measured = []
        for depot in candidates:
            took = latency(depot)
            say("%s: %s" % (depot.id, "no answer" if took is None else "%.1f ms" % (took * 1000)))
            if took is not None:
                measured.append((took, depot))
        if not measured:
            return None
        return min(measured, key=lambda m: m[0])[1]

    chosen = None
    if MODE == "random":
        chosen = random.choice(depots)
    elif MODE == "latency":
        chosen = by_latency(depots)
    elif MODE == "master_and_latency":
        # Among the client's own, those that belong to it, and the other master depots.
        chosen = by_latency([d for d in depots if d is masterDepot or getattr(d, "isMasterDepot", False)
                             or getattr(d, "masterDepotId", None) == masterDepot.id])
    else:
        addresses = own_addresses()
        matching = []
        for depot in depots:
            try:
                network = ipaddress.ip_network(depot.networkAddress, strict=False)
            except (TypeError, ValueError):
                continue
            if any(a.version == network.version and a in network for a in addresses):
                matching.append((network.prefixlen, depot))
        if matching:
            longest = max(m[0] for m in matching)
            chosen = [d for length, d in matching if length == longest][0]
    say("chosen: %s" % (chosen or masterDepot).id)
    return chosen or masterDepot

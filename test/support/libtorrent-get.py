"""Completes a torrent with libtorrent, on loopback only: libtorrent-get.py TORRENT FOLDER. Exits 0 once it would seed."""
import sys
import libtorrent as lt

torrent, folder = sys.argv[1:]
session = lt.session({
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # the tracker is on this machine, and not at a path that libtorrent would trust there
    "ssrf_mitigation": False,
    "alert_mask": lt.alert.category_t.all_categories,
})
handle = session.add_torrent({"ti": lt.torrent_info(torrent), "save_path": folder})
while not handle.status().is_seeding:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        if isinstance(alert, (lt.torrent_error_alert, lt.hash_failed_alert)):
            sys.exit(alert.message())

#!/usr/bin/env bash
# An S3 server (Ceph's RADOS Gateway on one node, all in memory), for as long as standard input stays open.
# usage: infra/services/s3.sh
# Says `address=...`, `access_key=...`, `secret_key=...` and `ready` once a user can sign in.
# The end of its input, or a signal, stops and removes all.
set -euo pipefail
. "$(dirname "$0")/lifetime.sh"
start_folder
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
monitor=127.0.0.1:$(port) gateway=127.0.0.1:$(port)
identity=$(cat /proc/sys/kernel/random/uuid)
export CEPH_CONF=$folder/ceph.conf

cat >"$CEPH_CONF" <<END
[global]
fsid = $identity
mon host = v2:$monitor
mon initial members = a
public addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = $folder/\$name.keyring
admin socket = $folder/\$name.asok
pid file =
log file =
log to stderr = false
err to stderr = true
mon cluster log file = /dev/null
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
paxos propose interval = 0.05
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 1
[mon]
keyring = $folder/mon.keyring
mon data = $folder/mon
[osd]
osd data = $folder/osd
osd objectstore = memstore
memstore device bytes = 1073741824
[client.rgw]
rgw frontends = beast endpoint=$gateway tcp_nodelay=1
rgw thread pool size = 32
rgw data = $folder/rgw
END
mkdir mon osd rgw

{
  ceph-authtool --create-keyring --gen-key -n mon. --cap mon 'allow *' mon.keyring
  ceph-authtool --create-keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' client.admin.keyring
  ceph-authtool mon.keyring --import-keyring client.admin.keyring
  monmaptool --create --fsid "$identity" --addv a "[v2:$monitor]" monmap
  ceph-mon --mkfs -i a --monmap monmap --keyring mon.keyring
} >setup.log 2>&1
keep setpriv --pdeathsig KILL ceph-mon -f -i a
until_true 60 ceph --connect-timeout 2 mon stat
{
  ceph osd new "$identity" 0
  ceph-osd --no-mon-config -i 0 --mkfs --mkkey --osd-uuid "$identity"
  ceph auth add osd.0 osd 'allow *' mon 'allow profile osd' -i osd.0.keyring
  ceph osd crush add osd.0 1.0 root=default host=here
  ceph auth get-or-create client.rgw osd 'allow rwx' mon 'allow rw' -o client.rgw.keyring
} >setup.log 2>&1
keep setpriv --pdeathsig KILL ceph-osd -f -i 0
keep setpriv --pdeathsig KILL radosgw -f -n client.rgw
until_true 120 python3 -c "import urllib.request; urllib.request.urlopen('http://$gateway', timeout=5)"

access=$(head -c 15 /dev/urandom | base32) secret=$(head -c 30 /dev/urandom | base64 | tr '+/' 'xy')
radosgw-admin user create --uid tests --display-name tests --access-key "$access" --secret-key "$secret" >user.log 2>&1 ||
  give_up "no user could be made"
echo "address=http://$gateway"
echo "access_key=$access"
echo "secret_key=$secret"
stay

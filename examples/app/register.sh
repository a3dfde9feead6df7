#!/bin/sh
# Asks an orchestrator for a way in, and writes what the way's stock client takes, for this user alone.
#
#   register.sh https://api.example.com mesh|wireguard|openvpn|ipsec NAME LOGIN
#
# LOGIN is a file with the header that logs you in, such as `Authorization: Bearer …`: a command line is no place for it.
set -eu
umask 077
orchestrator=$1 access=$2 name=$3 login=$4

answer=$(jq --null-input --arg name "$name" '{device_name: $name, device_os: "linux"}' |
    curl --silent --show-error --fail-with-body --header "@$login" --json @- \
        "$orchestrator/api/v1/device/register?access=$access")
told() { printf %s "$answer" | jq --raw-output --join-output "$1"; }

case $access in
mesh)
    told .pre_auth_key > "$name.key"
    echo "tailscale up --login-server=$(told .login_server) --auth-key=file:$name.key"
    ;;
wireguard)
    told '"[Interface]\nPrivateKey = \(.privateKey)\nAddress = \(.address)\n" +
        (if .dns == "" then "" else "DNS = \(.dns)\n" end) +
        "[Peer]\nPublicKey = \(.serverPublicKey)\nEndpoint = \(.serverEndpoint)\nAllowedIPs = \(.allowedIPs)\n" +
        "PersistentKeepalive = \(.persistentKeepalive)\n"' > "$name.conf"
    echo "wg-quick up ./$name.conf"
    ;;
openvpn)
    told .profile > "$name.ovpn"
    echo "openvpn --config $name.ovpn"
    ;;
ipsec)
    told .profile > "$name.sh"
    echo "sh $name.sh"
    ;;
esac

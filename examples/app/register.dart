// Asks an orchestrator for a way in: the part of a Flutter app. It needs package:http alone.
import 'dart:convert';
import 'dart:io' show Platform;

import 'package:http/http.dart' as http;

/// The orchestrator's answer; `access` is mesh, wireguard, openvpn or ipsec. Throws its own sentence if it refuses.
Future<Map<String, dynamic>> register(Uri orchestrator, String access, String name, String token) async {
  final answer = await http.post(
    orchestrator.replace(path: '/api/v1/device/register', queryParameters: {'access': access}),
    headers: {'Authorization': 'Bearer $token', 'Content-Type': 'application/json'},
    body: jsonEncode({'device_name': name, 'device_os': Platform.operatingSystem}),
  );
  final told = jsonDecode(utf8.decode(answer.bodyBytes)) as Map<String, dynamic>;
  if (answer.statusCode >= 400) throw Exception(told['detail']);
  return told;
}

/// What a WireGuard library takes, such as wireguard_flutter's `wgQuickConfig`.
String wgQuick(Map<String, dynamic> told) => [
      '[Interface]',
      'PrivateKey = ${told['privateKey']}',
      'Address = ${told['address']}',
      if (told['dns'] != '') 'DNS = ${told['dns']}',
      '[Peer]',
      'PublicKey = ${told['serverPublicKey']}',
      'Endpoint = ${told['serverEndpoint']}',
      'AllowedIPs = ${told['allowedIPs']}',
      'PersistentKeepalive = ${told['persistentKeepalive']}',
      '',
    ].join('\n');

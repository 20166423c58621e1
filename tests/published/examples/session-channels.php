<?php

$client = new \GuzzleHttp\Client();
$headers = [
  'x-api-key' => '<replace me>'
];
$request = new Request('GET', 'https://api.kod.mobi/session/channels?session_id=<replace me>', $headers);
$res = $client->sendAsync($request)->wait();
echo $res->getBody();

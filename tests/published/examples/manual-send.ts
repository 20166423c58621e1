const headers = new Headers();
headers.append('x-api-key', '<replace me>');

const raw = JSON.stringify({
  "to": "<replace me>",
  "channel": "email",
  "provider_id": 1,
  "code": "0000",
  "callback_url": "<replace me>"
});

const requestOptions: RequestInit = {
  method: 'POST',
  headers,
  body: raw,
  redirect: 'follow',
};

fetch(
  'https://api.kod.mobi/manual/send',
  requestOptions,
)
  .then((response) => response.json())
  .then((result) => console.log(result))
  .catch((error) => console.error(error));

// Android, with `android:autofillHints="smsOTPCode"` in the layout of the field: docs/guides/sign-up-form.md. Call it before you
// ask your backend for the code: SMS Retriever then reads the message without a tap.

import android.content.Context
import com.google.android.gms.auth.api.phone.SmsRetriever

fun startReading(context: Context) = SmsRetriever.getClient(context).startSmsRetriever()
